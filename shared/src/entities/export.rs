//! Entities in one file: lines of JSON, or a table.

use super::EntityView;
use crate::error::Error;
use crate::spreadsheet;

/// Lines of JSON, one for each.
///
/// # Errors
/// [`Error::Internal`]. No such entity is known.
pub fn ndjson(entities: &[EntityView]) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    for entity in entities {
        serde_json::to_writer(&mut lines, entity).map_err(|error| Error::Internal(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A table that spreadsheets open.
///
/// # Errors
/// [`Error::Internal`]. No such entity is known.
pub fn csv(entities: Vec<EntityView>) -> Result<Vec<u8>, Error> {
    let head = ["id", "kind", "state", "name", "parent", "fields", "generation", "path", "llm_id", "revision", "updated_at"];
    let rows = entities.into_iter().map(|entity| {
        [
            entity.id.to_string(),
            entity.kind,
            entity.state.to_string(),
            entity.name,
            entity.parent.map(String::from).unwrap_or_default(),
            serde_json::Value::Object(entity.fields).to_string(),
            entity.generation.to_string(),
            entity.path,
            entity.llm_id.unwrap_or_default(),
            entity.revision.to_string(),
            entity.updated_at,
        ]
    });
    spreadsheet::csv(head, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::entities::State;
    use crate::ids::{EntityId, GenerationId, ImportId};

    #[test]
    fn a_table_has_no_formulas_and_lines_read_back() {
        let entity = EntityView {
            id: EntityId::of(&["e"]),
            object: "entity",
            subject: "s".parse().unwrap(),
            kind: "skill".into(),
            state: State::Approved,
            name: "=SUM(A1), \"quoted\"".into(),
            fields: Map::from_iter([("a".to_owned(), json!(1))]),
            parent: None,
            generation: GenerationId::first_at(0),
            path: "skills[0]".into(),
            llm_id: None,
            import: ImportId::of(&["i"]),
            imports: vec![ImportId::of(&["i"])],
            edited: false,
            revision: 2,
            created_at: String::new(),
            updated_at: String::new(),
            decided_by: None,
            decided_at: None,
            note: None,
        };
        let lines = ndjson(&[entity.clone(), entity.clone()]).unwrap();
        let read: Vec<EntityView> =
            String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((read.len(), &read[0].name, read[0].revision), (2, &entity.name, 2));
        let table = String::from_utf8(csv(vec![entity]).unwrap()).unwrap();
        assert!(table.contains(r#","'=SUM(A1), ""quoted""","#), "{table}");
    }
}
