//! Whether an object of a JSON text has a duplicate name, for which parsers differ.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

pub(crate) fn has_duplicate_names(json: &str) -> bool {
    serde_json::from_str::<Names>(json).is_ok_and(|names| names.0)
}

struct Names(bool);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

macro_rules! no_names {
    ($($visit:ident($kind:ty)),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Names, E> { Ok(Names(false)) })*
    };
}

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    no_names!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

    fn visit_unit<E>(self) -> Result<Names, E> {
        Ok(Names(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Names, A::Error> {
        let mut found = false;
        while let Some(Names(within)) = values.next_element()? {
            found |= within;
        }
        Ok(Names(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Names, A::Error> {
        let (mut found, mut names) = (false, HashSet::new());
        while let Some(name) = fields.next_key::<String>()? {
            found |= fields.next_value::<Names>()?.0 | !names.insert(name);
        }
        Ok(Names(found))
    }
}
