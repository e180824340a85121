//! Texts of a row, damaged in the ways of the field: the whole one is chosen, and every damage is told.

use proptest::prelude::*;

use super::*;

const JSON: &str =
    r#"{"scenario_metadata": {"name": "Año 1"}, "confidence_score": 0.05, "capabilities": [{"name": "a", "weight": 10}]}"#;

fn row(columns: &[(&str, &str)], chunks: &[&[u8]]) -> SourceGeneration {
    let text = |text: &str| Cell::Text(text.as_bytes().to_vec());
    let chunk = |(sequence, chunk): (i64, &&[u8])| {
        [("sequence".to_owned(), Cell::Integer(sequence)), ("chunk".to_owned(), Cell::Text(chunk.to_vec()))].into()
    };
    SourceGeneration {
        columns: columns.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
        chunks: (1..).zip(chunks).map(chunk).collect(),
    }
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn outcome(columns: &[(&str, &str)], chunks: &[&[u8]]) -> (Option<Place>, String, Vec<String>) {
    let chosen = choose(&row(columns, chunks));
    let (place, text) = chosen.text.map_or((None, String::new()), |(place, text)| (Some(place), text));
    (place, text, chosen.findings.into_iter().map(|finding| finding.code).collect())
}

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

/// Each piece twice, as two writers write it.
fn doubled(text: &str) -> String {
    text.split_inclusive(' ').flat_map(|piece| [piece, piece]).collect()
}

#[test]
fn a_whole_text_beats_the_longer_one_that_begins_with_it() {
    let (once, blob, json) = ("Un informe entero.", base64("Un informe entero."), base64(JSON));
    let found = outcome(&[("compacted", &blob)], &[once.as_bytes(), once.as_bytes()]);
    assert_eq!(found, (Some(Place::Compacted), once.to_owned(), codes(&["texts_differ", "doubled"])));
    let found = outcome(&[("compacted", &json)], &[JSON.as_bytes(), &JSON.as_bytes()[..20]]);
    assert_eq!((found.0, found.1.as_str()), (Some(Place::Compacted), JSON), "{:?}", found.2);
}

/// Columns, chunk rows, where the whole text is, and what is told.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a [u8]], Place, &'a [&'a str]);
type Columns<'a, const N: usize> = [(&'a str, &'a str); N];

#[test]
fn the_whole_text_is_chosen_and_the_damage_told() {
    let (blob, zeros) = (base64(JSON), JSON.replace('0', ""));
    let chunks: Vec<&[u8]> = JSON.as_bytes().chunks(7).collect();
    let zeros_dropped: Vec<&[u8]> = zeros.as_bytes().chunks(7).collect();
    let (twice, again) = (doubled(JSON), base64(&doubled(JSON)));
    let whole = |place| (Some(place), JSON.to_owned());
    let twice = [twice.as_bytes()];
    let (compacted, parsed): (Columns<'_, 1>, Columns<'_, 1>) = ([("compacted", &blob)], [("llm_response", JSON)]);
    let both: Columns<'_, 2> = [("compacted", &blob), ("llm_response", JSON)];
    let (invalid, doubled): (Columns<'_, 1>, Columns<'_, 1>) = ([("compacted", "!")], [("compacted", &again)]);
    let cases: [Case<'_>; 11] = [
        (&compacted, &chunks, Place::Compacted, &[]),
        (&both, &chunks, Place::Compacted, &[]),
        (&[], &chunks, Place::Chunks, &[]),
        (&invalid, &chunks, Place::Chunks, &["invalid_base64"]),
        (&compacted, &chunks[..9], Place::Compacted, &["texts_differ", "cut_off"]),
        (&compacted, &zeros_dropped, Place::Compacted, &["texts_differ", "zeros_dropped"]),
        (&doubled, &chunks, Place::Chunks, &["texts_differ", "doubled"]),
        (&parsed, &[], Place::Response, &["only_response"]),
        (&parsed, &zeros_dropped, Place::Response, &["text_not_response", "zeros_dropped"]),
        (&parsed, &twice, Place::Response, &["text_not_response", "doubled"]),
        (&parsed, &chunks[..3], Place::Response, &["text_not_response", "cut_off"]),
    ];
    for (columns, chunks, place, told) in cases {
        let (found, text, findings) = outcome(columns, chunks);
        assert_eq!(((found, text), findings), (whole(place), codes(told)), "{columns:?}");
    }
}

#[test]
fn what_cannot_be_decided_stays_as_it_is_and_is_told() {
    let plain = |text: &str| format!("{{\"content\": {}, \"raw\": null}}", Value::from(text));
    // A zero that is missing from JSON which still is JSON cannot be told.
    let lost = JSON.replace("0.05", "0.5");
    let found = outcome(&[("compacted", &base64(&lost)), ("llm_response", &plain(&lost))], &[]);
    assert_eq!(found, (Some(Place::Compacted), lost, Vec::new()));
    // Runs 67 to 69 of the field: zeros are lost, and no other text has them.
    let lost = JSON.replace("0.05", ".05");
    let found = outcome(&[("compacted", &base64(&lost)), ("llm_response", &plain(&lost))], &[]);
    assert_eq!(found, (Some(Place::Compacted), lost, codes(&["zeros_dropped"])));
    // Run 58: doubled, and nothing to compare it with.
    let twice = doubled(JSON);
    assert_eq!(outcome(&[("compacted", &base64(&twice))], &[]), (Some(Place::Compacted), twice, codes(&["doubled"])));
    let other = JSON.replace("Año", "Mes");
    let differs = outcome(&[("compacted", &base64(JSON)), ("llm_response", &other)], &[]);
    assert_eq!(differs, (Some(Place::Compacted), JSON.to_owned(), codes(&["response_differs"])));
    assert_eq!(outcome(&[("compacted", "%")], &[]), (None, String::new(), codes(&["invalid_base64"])));
    let chosen = choose(&row(&[("compacted", &BASE64_STANDARD.encode([0xff_u8]))], &[]));
    assert!(chosen.is_unreadable && chosen.text.is_none(), "{chosen:?}");
    assert_eq!(outcome(&[("llm_response", "null")], &[]), (None, String::new(), Vec::new()));
    assert_eq!(outcome(&[("llm_response", &plain("Hola"))], &[]).1, "Hola");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a row has: the text is one of its texts, byte for byte, and texts that differ are told.
    #[test]
    fn the_text_is_one_of_the_rows_own(
        blob in prop::option::of("[0-2a{}\" .:,ñ]{0,40}"),
        chunks in prop::collection::vec("[0-2a{}\" .:,ñ]{0,12}", 0..6),
        response in prop::option::of("[0-2a{}\" .:,ñ]{0,40}"),
    ) {
        let encoded = blob.as_deref().map(base64);
        let columns: Vec<(&str, &str)> =
            encoded.iter().map(|blob| ("compacted", blob.as_str())).chain(response.iter().map(|text| ("llm_response", text.as_str()))).collect();
        let rows: Vec<&[u8]> = chunks.iter().map(String::as_bytes).collect();
        let chosen = choose(&row(&columns, &rows));
        let joined = chunks.concat();
        match &chosen.text {
            None => prop_assert!(blob.is_none_or(|blob| blob.is_empty()) && joined.is_empty(), "{:?}", chosen),
            Some((Place::Compacted, text)) => prop_assert_eq!(Some(text), blob.as_ref()),
            Some((Place::Chunks, text)) => prop_assert_eq!(text, &joined),
            Some((Place::Response, text)) => {
                let column = response.unwrap();
                let string = serde_json::from_str::<String>(&column).ok();
                prop_assert!(*text == column || string.as_ref() == Some(text), "{column}");
            }
            Some((Place::MetadataCompacted, _)) => prop_assert!(false),
        }
        let blob = chosen.findings.iter().any(|finding| finding.code == "texts_differ");
        prop_assert!(!blob || chosen.text.is_some());
    }
}
