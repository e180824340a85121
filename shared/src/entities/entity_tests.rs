//! What may become of an entity.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SALT: &str = "5a17";

fn item(name: &str) -> Item {
    Item {
        id: EntityId::of(&["e"]),
        collection: "capabilities".into(),
        kind: "capability".into(),
        name: name.into(),
        llm_id: None,
        parent: None,
        path: "capabilities[0]".into(),
        fields: Map::new(),
    }
}

fn import(number: i64) -> (GenerationId, ImportId) {
    (GenerationId::first_at(number), ImportId::of(&[&number.to_string()]))
}

fn by(at: usize) -> By {
    By { key: None, at: format!("2026-11-21T09:{:02}:{:02}.000Z", at / 60, at % 60), note: None }
}

#[derive(Debug, Clone)]
enum Step {
    Import(i64, &'static str),
    Act(Act, Option<State>),
    Edit(&'static str),
    Revert(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop::sample::select(State::ALL.to_vec());
    prop_oneof![
        (0_i64..3, prop::sample::select(vec!["a", "b"])).prop_map(|(number, name)| Step::Import(number, name)),
        (prop::sample::select(Act::ALL.to_vec()), prop::option::of(state)).prop_map(|(act, parent)| Step::Act(act, parent)),
        prop::sample::select(vec!["a", "c"]).prop_map(Step::Edit),
        (0_i64..3).prop_map(Step::Revert),
    ]
}

proptest! {
    #[test]
    fn revisions_count_the_changes_and_decisions_stay(steps in vec(step(), 0..60)) {
        let mut held: Option<Entity> = None;
        let mut changes = 0;
        for (at, step) in steps.into_iter().enumerate() {
            let before = held.clone();
            let next = match (&step, &before) {
                (Step::Import(number, name), held) => {
                    let (generation, import) = import(*number);
                    match Entity::imported(held.as_ref(), &item(name), &generation, &import, &by(at).at, SALT) {
                        Imported::Created(next) => {
                            prop_assert!(held.as_ref().is_none_or(|held| held.state == State::Reverted));
                            prop_assert_eq!(&next.import, &import);
                            Some(*next)
                        }
                        Imported::Updated(next) => {
                            prop_assert!(held.as_ref().is_some_and(|held| held.state == State::Incubating && !held.edited));
                            // Once more, it is the same.
                            let again = Entity::imported(Some(&next), &item(name), &generation, &import, "later", SALT);
                            prop_assert_eq!(again, Imported::Same);
                            Some(*next)
                        }
                        Imported::Same => None,
                        Imported::Kept(next) => {
                            let held = held.as_ref().unwrap();
                            prop_assert!(held.edited || held.state != State::Incubating);
                            prop_assert_eq!(next.is_some(), !held.is_in(&import));
                            if let Some(next) = &next {
                                prop_assert_eq!((&next.name, &next.fields, next.state), (&held.name, &held.fields, held.state));
                            }
                            next.map(|next| *next)
                        }
                    }
                }
                (_, None) => None,
                (Step::Act(act, parent), Some(held)) => match held.decided(*act, *parent, &by(at)) {
                    Ok(Some(next)) => {
                        prop_assert_eq!((held.state, next.state), (act.from(), act.to()));
                        let is_orphan = parent.is_some_and(|parent| !matches!(parent, State::Approved | State::Archived));
                        prop_assert!(*act != Act::Approve || !is_orphan);
                        Some(next)
                    }
                    Ok(None) => { prop_assert_eq!(held.state, act.to()); None }
                    Err(refusal) => {
                        prop_assert!(held.state != act.from() || refusal == Refusal::ParentNotApproved);
                        None
                    }
                },
                (Step::Edit(name), Some(held)) => {
                    let edited = held.edited(Some(name), &Map::new(), &by(at));
                    prop_assert_eq!(edited.is_ok(), held.state == State::Incubating);
                    edited.unwrap_or_default()
                }
                (Step::Revert(number), Some(held)) => {
                    let import = import(*number).1;
                    let next = held.reverted(&import, &by(at));
                    prop_assert_eq!(next.is_some(), held.state == State::Incubating && held.is_in(&import));
                    if let Some(next) = &next {
                        let left: Vec<&ImportId> = held.imports().filter(|own| **own != import).collect();
                        if left.is_empty() {
                            prop_assert_eq!((next.state, next.name.as_str(), next.fields.as_str()), (State::Reverted, "", "{}"));
                        } else {
                            prop_assert_eq!(next.imports().collect::<Vec<_>>(), left);
                            prop_assert_eq!((next.state, &next.name), (State::Incubating, &held.name));
                        }
                    }
                    next
                }
            };
            if let Some(next) = next {
                changes += 1;
                prop_assert_eq!(next.revision, changes);
                prop_assert_eq!(&next.updated_at, &by(at).at);
                let text = Value::Object(Entity::audited(before.as_ref(), &next).after).to_string();
                prop_assert!(!text.contains("\"name\""));
                held = Some(next);
            }
        }
    }
}

#[test]
fn fields_are_merged_and_null_removes_them() {
    let (generation, import) = import(1);
    let Imported::Created(entity) = Entity::imported(None, &item("a"), &generation, &import, "t", SALT) else {
        panic!("not created")
    };
    let fields = |value: Value| value.as_object().unwrap().clone();
    let once = entity.edited(None, &fields(json!({ "a": 1, "b": { "c": 2 } })), &by(1)).unwrap().unwrap();
    let twice = once.edited(Some(" B "), &fields(json!({ "a": null, "d": 3 })), &by(2)).unwrap().unwrap();
    assert_eq!((twice.fields(), twice.name.as_str()), (fields(json!({ "b": { "c": 2 }, "d": 3 })), "B"));
    assert_eq!(twice.edited(Some("B"), &fields(json!({ "x": null })), &by(3)), Ok(None));
    let item: serde_dynamo::Item = serde_dynamo::to_item(&twice).unwrap();
    assert_eq!(serde_dynamo::from_item::<_, Entity>(item).unwrap(), twice);
}

#[test]
fn the_newest_imports_of_an_entity_stay_and_a_hash_needs_its_salt() {
    let of = |held: Option<&Entity>, number: i64, salt: &str| {
        let (generation, import) = import(number);
        match Entity::imported(held, &item("a"), &generation, &import, "t", salt) {
            Imported::Created(next) | Imported::Updated(next) => *next,
            other => panic!("{other:?}"),
        }
    };
    let mut entity = of(None, 0, SALT);
    assert_ne!(entity.content_sha256(), of(None, 0, "other").content_sha256());
    for number in 1..100 {
        entity = of(Some(&entity), number, "");
    }
    assert_eq!((entity.imports().count(), entity.salt.as_str()), (ENTITY_IMPORTS_MAX, SALT));
    assert!(entity.is_in(&import(0).1) && entity.is_in(&import(99).1) && !entity.is_in(&import(1).1));
    // Reverted one by one, it goes with the last.
    for number in (0..100).rev() {
        entity = entity.reverted(&import(number).1, &by(1)).unwrap_or(entity);
        assert_eq!(entity.state == State::Reverted, number == 0, "{number}");
    }
    assert_eq!(entity.salt, "");
}
