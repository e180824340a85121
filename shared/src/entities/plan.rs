//! Which entities a request decides, in which order: those that others belong to first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::body::{Decide, Which};
use super::{Act, Brief, Refusal, State};
use crate::ids::EntityId;
use crate::limits::IMPORTER_DEPTH_MAX;

/// What is to become of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub id: EntityId,
    /// Whether it is written; `false`: it is what was asked already. Or why it is not done.
    pub outcome: Result<bool, Refusal>,
}

/// What a request comes to, of all entities of a subject.
#[must_use]
pub fn plan(held: &BTreeMap<EntityId, Brief>, asked: &Decide) -> Vec<Planned> {
    let mut refused = Vec::new();
    let mut chosen: Vec<EntityId> = Vec::new();
    match &asked.which {
        Which::Items(items) => {
            for item in items {
                let found = held.get(&item.id).filter(|entity| item.kind.as_ref().is_none_or(|kind| *kind == entity.kind));
                match found {
                    Some(_) => chosen.push(item.id.clone()),
                    None => refused.push(Planned { id: item.id.clone(), outcome: Err(Refusal::NotFound) }),
                }
            }
        }
        Which::All(kind) => {
            let all = held.values().filter(|entity| entity.state == asked.act.from());
            let all = all.filter(|entity| kind.as_ref().is_none_or(|kind| *kind == entity.kind));
            chosen.extend(all.map(|entity| entity.id.clone()));
        }
    }
    if asked.cascade {
        add_relatives(held, asked.act, asked.is_downwards(), &mut chosen);
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|id| seen.insert(id.clone()));
    chosen.sort_by_key(|id| depth(held, id));
    let mut approved: BTreeSet<&EntityId> = BTreeSet::new();
    let mut planned = Vec::with_capacity(chosen.len());
    for id in &chosen {
        let Some(entity) = held.get(id) else { continue };
        let parent = entity.parent.as_ref().map(|parent| match held.get(parent) {
            _ if approved.contains(parent) => State::Approved,
            Some(parent) => parent.state,
            // It is gone, and holds nobody up.
            None => State::Archived,
        });
        let outcome = entity.state.takes(asked.act, parent);
        if outcome == Ok(true) && asked.act == Act::Approve {
            approved.insert(id);
        }
        planned.push(Planned { id: id.clone(), outcome });
    }
    planned.extend(refused);
    planned
}

/// Adds what the chosen entities belong to, or what belongs to them, where the act can be done to it.
fn add_relatives(held: &BTreeMap<EntityId, Brief>, act: Act, is_downwards: bool, chosen: &mut Vec<EntityId>) {
    let can = |entity: &&Brief| entity.state == act.from();
    if !is_downwards {
        for id in chosen.clone() {
            let mut above = held.get(&id).and_then(|entity| entity.parent.as_ref());
            for _ in 0..IMPORTER_DEPTH_MAX {
                let Some(entity) = above.and_then(|parent| held.get(parent)) else { break };
                chosen.extend(Some(entity).filter(can).map(|entity| entity.id.clone()));
                above = entity.parent.as_ref();
            }
        }
        return;
    }
    let mut layer: BTreeSet<EntityId> = chosen.iter().cloned().collect();
    for _ in 0..IMPORTER_DEPTH_MAX {
        let below = held.values().filter(|entity| entity.parent.as_ref().is_some_and(|parent| layer.contains(parent)));
        let below: Vec<&Brief> = below.collect();
        chosen.extend(below.iter().copied().filter(can).map(|entity| entity.id.clone()));
        layer = below.into_iter().map(|entity| entity.id.clone()).collect();
    }
}

/// How many entities one belongs to, one within the other.
fn depth(held: &BTreeMap<EntityId, Brief>, id: &EntityId) -> usize {
    let mut above = held.get(id).and_then(|entity| entity.parent.as_ref());
    let mut depth = 0;
    while let Some(entity) = above.and_then(|parent| held.get(parent)).filter(|_| depth < IMPORTER_DEPTH_MAX) {
        depth += 1;
        above = entity.parent.as_ref();
    }
    depth
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::body::Named;
    use super::*;

    fn entity(number: usize, parent: Option<usize>, state: State) -> Brief {
        let id = |number: usize| EntityId::of(&[&number.to_string()]);
        Brief { id: id(number), kind: "k".into(), state, parent: parent.map(id) }
    }

    proptest! {
        /// Applying a plan in its order never approves what belongs to something that is not approved, and doing it again changes nothing.
        #[test]
        fn parents_are_first_and_a_second_time_changes_nothing(
            tree in vec((prop::option::of(0_usize..20), prop::sample::select(State::ALL.to_vec())), 1..20),
            act in prop::sample::select(Act::ALL.to_vec()),
            chosen in vec(0_usize..25, 0..10),
            (all, cascade, with_children) in any::<(bool, bool, bool)>(),
        ) {
            let entities = tree.iter().enumerate().map(|(number, (parent, state))| {
                entity(number, parent.filter(|parent| *parent < number), *state)
            });
            let mut held: BTreeMap<EntityId, Brief> = entities.map(|entity| (entity.id.clone(), entity)).collect();
            let named = chosen.iter().map(|number| Named::new(EntityId::of(&[&number.to_string()]))).collect();
            let which = if all { Which::All(None) } else { Which::Items(named) };
            let asked = Decide { act, which, cascade, with_children, note: None };
            let planned = plan(&held, &asked);
            let distinct: BTreeSet<&EntityId> = planned.iter().map(|planned| &planned.id).collect();
            let twice = planned.iter().filter(|planned| planned.outcome == Err(Refusal::NotFound)).count();
            prop_assert!(distinct.len() + twice >= planned.len());
            for Planned { id, outcome } in &planned {
                if *outcome != Ok(true) {
                    continue;
                }
                let before = held[id].clone();
                let parent = before.parent.as_ref().map(|parent| held[parent].state);
                prop_assert_eq!(before.state.takes(act, parent), Ok(true), "{:?} {:?}", before, parent);
                held.insert(id.clone(), Brief { state: act.to(), ..before });
            }
            let again = plan(&held, &asked);
            if !all {
                prop_assert!(again.iter().all(|planned| planned.outcome != Ok(true)), "{:?}", again);
            }
        }
    }

    #[test]
    fn a_child_waits_for_its_parent_unless_that_is_approved_with_it() {
        let held: BTreeMap<EntityId, Brief> =
            [entity(0, None, State::Incubating), entity(1, Some(0), State::Incubating), entity(2, Some(1), State::Incubating)]
                .into_iter()
                .map(|entity| (entity.id.clone(), entity))
                .collect();
        let id = |number: usize| EntityId::of(&[&number.to_string()]);
        let asked = |number: usize, cascade, with_children| Decide {
            act: Act::Approve,
            which: Which::Items(vec![Named::new(id(number))]),
            cascade,
            with_children,
            note: None,
        };
        let outcomes = |asked: &Decide| plan(&held, asked).into_iter().map(|one| (one.id, one.outcome)).collect::<Vec<_>>();
        assert_eq!(outcomes(&asked(2, false, false)), [(id(2), Err(Refusal::ParentNotApproved))]);
        assert_eq!(outcomes(&asked(2, true, false)), [(id(0), Ok(true)), (id(1), Ok(true)), (id(2), Ok(true))]);
        assert_eq!(outcomes(&asked(0, true, true)), [(id(0), Ok(true)), (id(1), Ok(true)), (id(2), Ok(true))]);
        assert_eq!(outcomes(&asked(0, false, false)), [(id(0), Ok(true))]);
    }
}
