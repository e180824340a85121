//! `docs/configuration.md` is what the code reads and the template has: names, defaults, bounds, and what sets what.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use longhand::Config;
use longhand::config::PROCESS_VARIABLES;
use longhand_local::TEMPLATE;
use longhand_tests::documents::{quoted, rows};
use serde_norway::Value;

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

type Environment = BTreeMap<String, String>;

fn bare() -> Environment {
    ["LONGHAND_BUFFER_TABLE", "LONGHAND_RECORDS_TABLE", "LONGHAND_BUCKET"].map(|name| (name.to_owned(), "x".to_owned())).into()
}

fn with(name: &str, value: &str) -> Result<Config, String> {
    let mut environment = bare();
    environment.insert(name.to_owned(), value.to_owned());
    read(&environment)
}

fn read(environment: &Environment) -> Result<Config, String> {
    Config::from_vars(&|name| environment.get(name).cloned()).map_err(|error| error.to_string())
}

/// Every variable that the functions read: for their settings, in two environments that lead to all of them, and before.
pub fn read_by_functions() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let mut environment = bare();
    for _ in 0..2 {
        Config::from_vars(&|name| {
            asked.borrow_mut().insert(name.to_owned());
            environment.get(name).cloned()
        })
        .unwrap();
        environment.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), "x".to_owned())));
    }
    let directly = PROCESS_VARIABLES.iter().map(|(name, _)| (*name).to_owned());
    asked.into_inner().into_iter().chain(directly).collect()
}

#[test]
fn function_variables_are_documented() {
    let told: BTreeSet<String> =
        rows(DOCUMENT, "Variables of the functions").iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect();
    assert_eq!(told, read_by_functions());
}

#[test]
fn documented_defaults_match_code() {
    let bare = read(&bare()).unwrap();
    let mut compared = 0;
    for row in rows(DOCUMENT, "Variables of the functions") {
        let (name, default) = (quoted(row[0]).next().unwrap(), row[2]);
        let Some(value) = quoted(default).next() else {
            assert!(["required", "none"].contains(&default), "{name}: {default}");
            continue;
        };
        assert_eq!(with(name, value).unwrap(), bare, "{name}");
        if let Ok(number) = value.parse::<u64>().map(|number| number + 1) {
            assert_ne!(with(name, &number.to_string()).unwrap(), bare, "{name} changes nothing");
            compared += 1;
        }
    }
    assert!(compared > 12, "{compared} defaults");
    for (name, default) in PROCESS_VARIABLES {
        let rows = rows(DOCUMENT, "Variables of the functions");
        let row = rows.iter().find(|row| row[0] == format!("`{name}`")).unwrap_or_else(|| panic!("{name} is not documented"));
        let is_documented =
            if default.is_empty() { ["none", "required"].contains(&row[2]) } else { row[2] == format!("`{default}`") };
        assert!(is_documented, "{name}: {}", row[2]);
    }
}

#[test]
fn documented_minimums_match_code() {
    let mut tried = 0;
    for row in rows(DOCUMENT, "Variables of the functions") {
        let (name, Ok(least)) = (quoted(row[0]).next().unwrap(), row[3].parse::<i64>()) else {
            assert_eq!(row[3], "", "{}", row[0]);
            continue;
        };
        with(name, &least.to_string()).unwrap_or_else(|error| panic!("{error}"));
        let error = with(name, &(least - 1).to_string()).unwrap_err();
        assert!(error.contains(&format!("{name} must be a whole number of at least {least}, not ")), "{error}");
        tried += 1;
    }
    assert!(tried > 18, "{tried} bounds");
}

fn parameters(tree: &Value) -> BTreeMap<&str, &Value> {
    tree["Parameters"].as_mapping().unwrap().iter().map(|(name, parameter)| (name.as_str().unwrap(), parameter)).collect()
}

/// A plain value as one writes it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| serde_norway::to_string(value).unwrap().trim().to_owned(), str::to_owned)
}

#[test]
fn documented_parameters_match_template() {
    let tree: Value = serde_norway::from_str(TEMPLATE).unwrap();
    let (parameters, rows) = (parameters(&tree), rows(DOCUMENT, "Parameters of the template"));
    let told: BTreeMap<&str, &Vec<&str>> =
        rows.iter().filter(|row| row.len() == 4).map(|row| (quoted(row[0]).next().unwrap(), row)).collect();
    assert_eq!(told.keys().collect::<Vec<_>>(), parameters.keys().collect::<Vec<_>>());
    for (name, parameter) in parameters {
        let (default, bounds) = (told[name][1], told[name][2]);
        let expected = text(&parameter["Default"]);
        let is_told = match quoted(default).next() {
            _ if name == "Providers" => quoted(default).all(|secret| expected.contains(&format!("\"key_secret\":\"{secret}\""))),
            Some(value) => value == expected,
            None => default == "empty" && expected.is_empty(),
        };
        assert!(is_told, "{name}: the default is {expected:?}, not {default}");
        if let Some(allowed) = parameter.get("AllowedValues") {
            let allowed: Vec<String> = allowed.as_sequence().unwrap().iter().map(text).collect();
            assert_eq!(quoted(bounds).collect::<Vec<_>>(), allowed, "{name}");
        }
        for (bound, word) in [("MinValue", "from"), ("MaxValue", "to")] {
            let expected = parameter.get(bound).map(|value| format!("{word} `{}`", text(value)));
            assert!(expected.is_none_or(|expected| bounds.contains(&expected)), "{name}: {bounds}");
        }
    }
}

#[test]
fn documented_parameter_sets_variable() {
    let tree: Value = serde_norway::from_str(TEMPLATE).unwrap();
    let parameters = parameters(&tree);
    let mut set = BTreeMap::new();
    let resources = tree["Resources"].as_mapping().unwrap().iter().map(|(_, resource)| &resource["Properties"]);
    for function in resources.chain([&tree["Globals"]["Function"]]) {
        let Some(variables) = function["Environment"]["Variables"].as_mapping() else { continue };
        for (name, value) in variables {
            let parameter = value.as_str().filter(|name| parameters.contains_key(name)).unwrap_or_default();
            set.insert(name.as_str().unwrap().to_owned(), parameter.to_owned());
        }
    }
    assert!(set.len() > 15, "{set:?}");
    let rows = rows(DOCUMENT, "Variables of the functions");
    for row in &rows {
        for name in quoted(row[0]) {
            let told = quoted(row[5]).next().unwrap_or_default();
            assert_eq!(told, set.get(name).map_or("", String::as_str), "{name}");
        }
    }
}
