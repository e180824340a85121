//! Least privilege: what each function does to AWS is what its role allows, nothing missing and nothing to spare.

mod batches;
mod compacting;
mod drive;
mod everyday;
pub mod granted;
mod review;
mod runs;
mod services;
mod statistics;
mod subjects;
mod troubles;
mod used;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::join_all;
use longhand_local::TEMPLATE;
use longhand_tests::calls::{Recorded, Recorder};

use self::granted::{Grant, Roles};

/// An action of a function on a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The function, by its handler's name.
    pub function: String,
    /// The action, as policies name it.
    pub action: String,
    /// The resource, by its name on the local stack; behind it, where a role is bound to some, a pattern of partition keys.
    pub resource: String,
}

impl Use {
    fn of_items(self, partition: &str) -> Self {
        Self { resource: format!("{}[{partition}]", self.resource), ..self }
    }
}

/// Prints for each function what it used and what it is granted, and fails where they differ.
pub fn assert_equal(recorded: &BTreeSet<Recorded>, roles: &Roles) {
    let recorded: BTreeSet<Recorded> = recorded.iter().cloned().chain(signed_for_clients()).collect();
    let (used, granted) = used_and_granted(&recorded, roles);
    let differences = differences(&recorded, roles);
    let word = |is_so| if is_so { "yes" } else { "no" };
    println!("{:10} {:30} {:38} {:>5} {:>8}", "function", "action", "resource", "used", "granted");
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    for one in used.union(&granted) {
        let Use { function, action, resource } = one;
        let (is_used, is_granted) = (used.contains(one), granted.contains(one));
        println!("{function:10} {action:30} {resource:38} {:>5} {:>8}", word(is_used), word(is_granted));
        let [uses, grants] = counts.entry(function).or_default();
        (*uses, *grants) = (*uses + usize::from(is_used), *grants + usize::from(is_granted));
    }
    println!("\n{:10} {:>12} {:>15} {:>6}", "function", "actions used", "actions granted", "equal");
    for (function, [used, granted]) in counts {
        let differs = differences.iter().any(|difference| difference.starts_with(&format!("{function} ")));
        println!("{function:10} {used:>12} {granted:>15} {:>6}", word(!differs));
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The calls that a client makes by a URL that a function has signed: such a call needs the permissions of the function's role, and
/// no function makes it.
fn signed_for_clients() -> Option<Recorded> {
    Recorded::read("api\ts3\tPutObject\tlonghand-bucket/.uploads/*\t")
}

fn used_and_granted(recorded: &BTreeSet<Recorded>, roles: &Roles) -> (BTreeSet<Use>, BTreeSet<Use>) {
    let used = recorded.iter().flat_map(|recorded| of_call(recorded, &roles.grants)).collect();
    (used, roles.grants.iter().flat_map(of_grant).collect())
}

/// What is called and denied, used and not granted, granted and not used.
fn differences(recorded: &BTreeSet<Recorded>, roles: &Roles) -> Vec<String> {
    let (used, granted) = used_and_granted(recorded, roles);
    let mut differences: Vec<String> = recorded.iter().filter_map(|recorded| denied(recorded, &roles.denials)).collect();
    for Use { function, action, resource } in used.difference(&granted) {
        differences.push(format!("{function} needs {action} on {resource}, and is not granted it"));
    }
    for Use { function, action, resource } in granted.difference(&used) {
        differences.push(format!("{function} is granted {action} on {resource}, and never uses it"));
    }
    differences
}

/// What a call needs. Where its function is granted that for some items alone, they are told.
fn of_call(recorded: &Recorded, grants: &[Grant]) -> Vec<Use> {
    let tell = |one: Use| {
        let mut alike = grants.iter().filter(|grant| grant.of == one).peekable();
        if alike.peek().is_some() && alike.all(|grant| !grant.partitions.is_empty()) {
            return one.of_items(&recorded.partition);
        }
        one
    };
    used::needed(recorded).into_iter().map(tell).collect()
}

fn of_grant(grant: &Grant) -> Vec<Use> {
    if grant.partitions.is_empty() {
        return vec![grant.of.clone()];
    }
    grant.partitions.iter().map(|partition| grant.of.clone().of_items(partition)).collect()
}

/// What is wrong with a call that its function is denied.
fn denied(recorded: &Recorded, denials: &[Grant]) -> Option<String> {
    let Recorded { function, operation, resource, partition, .. } = recorded;
    let denies = |denial: &&Grant| {
        denial.of.function == *function && denial.of.resource == *resource && denial.partitions.contains(partition)
    };
    denials.iter().find(denies)?;
    Some(format!("{function} calls {operation} on {resource}[{partition}], and is denied it"))
}

#[test]
fn only_authorize_reads_api_keys() {
    let Roles { grants, denials } = Roles::of_product();
    let is_of_keys = |grant: &&Grant| grant.partitions.iter().any(|partition| partition.contains("key"));
    let of_keys: Vec<&Grant> = grants.iter().filter(is_of_keys).collect();
    let [keys] = of_keys.as_slice() else { panic!("one grant names the rows of keys") };
    assert!(denials.iter().all(|denial| denial.of.resource == keys.of.resource && denial.partitions == keys.partitions));
    let mut handlers: Vec<&str> = longhand_functions::handlers().collect();
    handlers.sort_unstable();
    let mut functions: Vec<&str> = denials.iter().map(|denial| denial.of.function.as_str()).collect();
    functions.push(&keys.of.function);
    functions.sort_unstable();
    assert_eq!((functions, keys.of.function.as_str()), (handlers, "authorize"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_equal_use() {
    let recorder = Recorder::default();
    let own = || recorder.clone();
    let scenarios = [
        everyday::with_keys(own()).boxed(),
        everyday::with_large_requests(own()).boxed(),
        statistics::of_two_shards(own()).boxed(),
        subjects::with_versions(own()).boxed(),
        batches::that_go_on(own()).boxed(),
        batches::that_riders_do_not_take_on(own()).boxed(),
        batches::whose_start_fails(own()).boxed(),
        review::with_an_import(own()).boxed(),
        review::with_an_import_that_is_left_alone(own()).boxed(),
        runs::that_go_on(own()).boxed(),
        runs::that_are_left_alone(own()).boxed(),
        webhooks::with_receivers(own()).boxed(),
        compacting::by("compact", own()).boxed(),
        compacting::by("sweep", own()).boxed(),
        troubles::a_lost_invoke_and_an_overtime(own()).boxed(),
        troubles::too_many_attached(own()).boxed(),
        troubles::a_response_without_a_writer(own()).boxed(),
        troubles::a_damaged_log(own()).boxed(),
        troubles::a_hand_over(own()).boxed(),
    ];
    for scenario in join_all(scenarios.map(tokio::spawn)).await {
        scenario.unwrap();
    }
    assert_equal(&recorder.seen(), &Roles::of_product());
}

/// What the roles of the product are granted, as if all of it and nothing else had been called.
fn all_that_is_granted() -> BTreeSet<Recorded> {
    let call = |one: Use| {
        let (service, action) = one.action.split_once(':').unwrap();
        let (resource, partition) = one.resource.split_once('[').unwrap_or((&one.resource, "]"));
        let (operation, resource) =
            if action == "ListBucket" { ("ListObjectsV2", "longhand-bucket") } else { (action, resource) };
        let fields = [one.function.as_str(), service, operation, resource, &partition[..partition.len() - 1]];
        Recorded::read(&fields.join("\t")).unwrap()
    };
    Roles::of_product().grants.iter().flat_map(of_grant).map(call).collect()
}

#[test]
fn differences_are_named() {
    let changed = |from: &str, to: &str| {
        assert_eq!(TEMPLATE.matches(from).count(), 1, "{from}");
        differences(&all_that_is_granted(), &Roles::read(&TEMPLATE.replace(from, to)))
    };
    assert_eq!(differences(&all_that_is_granted(), &Roles::of_product()), [""; 0]);
    let check = "dynamodb:ConditionCheckItem, ";
    assert_eq!(changed(check, ""), ["api needs dynamodb:ConditionCheckItem on RecordsTable, and is not granted it"]);
    assert_eq!(
        changed(check, "dynamodb:Scan, dynamodb:ConditionCheckItem, "),
        ["api is granted dynamodb:Scan on RecordsTable, and never uses it"]
    );
    assert_eq!(
        changed(
            r##"ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["#key#*", "*#keys"]"##,
            r##"ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["#key#*", "*#usage"]"##
        ),
        [
            "authorize needs dynamodb:GetItem on RecordsTable[*#keys], and is not granted it",
            "authorize is granted dynamodb:GetItem on RecordsTable[*#usage], and never uses it"
        ]
    );
    let mut recorded = all_that_is_granted();
    recorded.extend(Recorded::read("start\tdynamodb\tPutItem\tRecordsTable\t#key#*"));
    assert_eq!(differences(&recorded, &Roles::of_product()), ["start calls PutItem on RecordsTable[#key#*], and is denied it"]);
}
