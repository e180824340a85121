use serde_json::json;

use super::*;

const TRAINING: &str = include_str!("../../../infra/pipelines/edn360-training.yaml");
const NUTRITION: &str = include_str!("../../../infra/pipelines/edn360-nutrition.yaml");
const FULL: &str = include_str!("../../../infra/pipelines/edn360-full.yaml");

fn published(name: &str) -> Option<Document> {
    let text = [("edn360-training", TRAINING), ("edn360-nutrition", NUTRITION)].into_iter().find(|(known, _)| *known == name)?.1;
    let mut document = Document::parse(text.as_bytes(), |_| None).unwrap();
    document.version = 3;
    Some(document)
}

#[test]
fn canonical_form_is_a_document_and_the_same() {
    for text in [TRAINING, NUTRITION, FULL] {
        let document = Document::parse(text.as_bytes(), published).unwrap();
        let canonical = document.canonical();
        assert_eq!(Document::parse(&canonical, |_| None).unwrap(), document);
        assert_eq!(Document::parse_json(&canonical, |_| None).unwrap().sha256(), document.sha256());
        assert_eq!(Document::from_canonical(&canonical).unwrap(), document);
    }
}

#[test]
fn parts_are_flattened() {
    let full = Document::parse(FULL.as_bytes(), published).unwrap();
    let ids: Vec<&str> = full.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "N0", "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"]);
    for pair in full.steps.windows(2) {
        assert_eq!(pair[1].needs, [pair[0].id.clone()]);
    }
    assert_eq!(full.parts["edn360-training"].version, Some(3));
    assert_eq!(full.parts["edn360-nutrition"].with["bridge"], "steps.E9.output.bridge_for_nutrition");
    assert_eq!(full.result["training"]["sessions"], json!("steps.E5.output.sessions"));
    assert_eq!(full.result["nutrition"]["menus"], json!("steps.N6.output"));
    assert_eq!(full.step("N0").unwrap().place.ancestors, Vec::<String>::new());
    assert_eq!(full.step("N2").unwrap().place.ancestors, ["N0", "N1"]);
}
