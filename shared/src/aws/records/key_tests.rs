//! Keys of rows: distinct, each of its organization, and as they are stored.

use std::collections::HashSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::ids::{BatchId, GenerationId};

static MIGRATION: LazyLock<MigrationId> = LazyLock::new(|| "mig_00000000000000000000000000".parse().unwrap());

type Told = (EventId, EndpointId, DeliveryId, UserId, InboxId, AuditId, EntityId, ImportId);

fn keys<'a>(
    generation: &'a GenerationKey,
    id: &'a KeyId,
    text: &'a str,
    (subject, batch, [pipeline, importer], run): &'a (SubjectKey, BatchKey, [DocumentKey; 2], RunKey),
    tally: &'a TallyKey,
    (event, endpoint, delivery, user, entry, audit, entity, import): &'a Told,
) -> [Key<'a>; 41] {
    let organization = &generation.organization;
    [
        Key::Record(generation),
        Key::Request(generation),
        Key::Issue(generation, text),
        Key::ImportAttempt(generation, audit),
        Key::Idempotency(organization, text),
        Key::Create(organization, text),
        Key::Quota(organization),
        Key::Usage(organization, "2026-11-21"),
        Key::Statistics(tally),
        Key::ApiKey(organization, id),
        Key::Subject(subject),
        Key::Version(subject, 12),
        Key::VersionOf(subject, &generation.generation),
        Key::VersionOfRun(subject, &run.run),
        Key::Entity(subject, entity),
        Key::Import(subject, import),
        Key::Note(subject, audit),
        Key::Batch(batch),
        Key::BatchItem(batch, 12),
        Key::ItemRequest(batch, 12),
        Key::Run(run),
        Key::RunInput(run),
        Key::RunStep(run, "E5"),
        Key::RunEntry(run, 12),
        Key::Places(organization),
        Key::Notification(organization, event),
        Key::Audit(organization, audit),
        Key::Endpoint(organization, endpoint),
        Key::Delivery(organization, delivery),
        Key::Inbox(organization, user, entry),
        Key::Preferences(organization, user),
        Key::Document(pipeline),
        Key::DocumentVersion(pipeline, 12),
        Key::Document(importer),
        Key::DocumentVersion(importer, 12),
        Key::ApiKeyHash(text),
        Key::SweepCursor,
        Key::Migration(&MIGRATION),
        Key::MigrationLock,
        Key::Imported(text),
        Key::Attached(7),
    ]
}

fn tally(organization: &Organization) -> TallyKey {
    let [day, provider, model] = ["2026-11-21", "openai", "m"].map(str::to_owned);
    TallyKey { organization: organization.clone(), day, provider, model }
}

fn told(text: &str) -> Told {
    let event = EventId::of(&[text]);
    let entry = InboxId::of(0, &event);
    let (audit, entity, import) = (AuditId::of(0, 1, &[text]), EntityId::of(&[text]), ImportId::of(&[text]));
    (event, EndpointId::new(0), DeliveryId::of(0, &[text]), text.parse().unwrap(), entry, audit, entity, import)
}

proptest! {
    #[test]
    fn kinds_and_organizations_share_no_key(
        one in "[A-Za-z0-9_-]{1,64}",
        other in "[A-Za-z0-9_-]{1,64}",
        text in "[0-9a-f]{1,64}",
        now in 0_i64..253_402_300_799_000,
    ) {
        prop_assume!(one != other);
        let id = KeyId::new(now);
        let generation = |organization: &str| GenerationKey::new(organization.parse().unwrap(), GenerationId::first_at(now));
        let (one, other) = (generation(&one), generation(&other));
        let above = |of: &GenerationKey| {
            let subject = SubjectKey::new(of.organization.clone(), text.parse().unwrap());
            let document = |noun| {
                let name = format!("p{}", &text[..text.len().min(60)]);
                DocumentKey::new(noun, of.organization.clone(), name.parse().unwrap())
            };
            let documents = [Noun::Pipeline, Noun::Importer].map(document);
            let run = RunKey::new(of.organization.clone(), RunId::new(now));
            (subject, BatchKey::new(of.organization.clone(), BatchId::new(now)), documents, run)
        };
        let (one_above, other_above) = (above(&one), above(&other));
        let (one_tally, other_tally) = (tally(&one.organization), tally(&other.organization));
        let told = told(&text);
        let all = [
            keys(&one, &id, &text, &one_above, &one_tally, &told),
            keys(&other, &id, &text, &other_above, &other_tally, &told),
        ];
        let all = all.concat();
        let distinct: HashSet<_> = all.iter().map(|key| (key.partition(), key.sort())).collect();
        // The last six of each are no organization's.
        prop_assert_eq!(distinct.len(), 76);
        for key in &keys(&one, &id, &text, &one_above, &one_tally, &told)[..35] {
            prop_assert!(key.partition().starts_with(&prefix(&one.organization)), "{key:?}");
            prop_assert!(!key.partition().starts_with(&prefix(&other.organization)), "{key:?}");
        }
    }
}

#[test]
fn stored_keys_stay_as_they_are() {
    let generation = GenerationKey::new("acme".parse().unwrap(), GenerationId::first_at(0));
    let id: KeyId = "key_00000000000000000000000000".parse().unwrap();
    let subject = SubjectKey::new("acme".parse().unwrap(), "a@b".parse().unwrap());
    let batch = BatchKey::new("acme".parse().unwrap(), "bat_00000000000000000000000000".parse().unwrap());
    let run = RunKey::new("acme".parse().unwrap(), "run_00000000000000000000000000".parse().unwrap());
    let documents =
        [Noun::Pipeline, Noun::Importer].map(|noun| DocumentKey::new(noun, "acme".parse().unwrap(), "plan-1".parse().unwrap()));
    let tally = tally(&subject.organization);
    let told = told("5e");
    let (event, endpoint, delivery, _, entry, audit, entity, import) = &told;
    let keys = keys(&generation, &id, "5e", &(subject, batch, documents, run), &tally, &told)
        .map(|key| format!("{} {}", key.partition(), key.sort()));
    let partition = generation.partition();
    assert_eq!(
        keys,
        [
            format!("{partition} record"),
            format!("{partition} request"),
            format!("{partition} issue#5e"),
            format!("{partition} import_attempt#{audit}"),
            "acme#idempotency#5e key".to_owned(),
            "acme#create#5e key".to_owned(),
            "acme#settings quota".to_owned(),
            "acme#usage 2026-11-21".to_owned(),
            "acme#statistics 2026-11-21#9a35ccee68394db5848dcd0a481f5166".to_owned(),
            format!("acme#keys {id}"),
            "acme#subject:a@b subject".to_owned(),
            "acme#subject:a@b version#000000012".to_owned(),
            format!("acme#subject:a@b generation#{}", generation.generation),
            "acme#subject:a@b run#run_00000000000000000000000000".to_owned(),
            format!("acme#subject:a@b entity#{entity}"),
            format!("acme#subject:a@b import#{import}"),
            format!("acme#subject:a@b note#{audit}"),
            "acme#bat_00000000000000000000000000 batch".to_owned(),
            "acme#bat_00000000000000000000000000 item#000012".to_owned(),
            "acme#bat_00000000000000000000000000 request#000012".to_owned(),
            "acme#run_00000000000000000000000000 run".to_owned(),
            "acme#run_00000000000000000000000000 input".to_owned(),
            "acme#run_00000000000000000000000000 step#E5".to_owned(),
            "acme#run_00000000000000000000000000 entry#000000012".to_owned(),
            "acme#runs places".to_owned(),
            format!("acme#event:{event} notification"),
            format!("acme#audit {audit}"),
            format!("acme#webhooks {endpoint}"),
            format!("acme#delivery:{delivery} delivery"),
            format!("acme#inbox:5e {entry}"),
            "acme#inbox:5e preferences".to_owned(),
            "acme#pipeline#plan-1 head".to_owned(),
            "acme#pipeline#plan-1 version#000012".to_owned(),
            "acme#importer#plan-1 head".to_owned(),
            "acme#importer#plan-1 version#000012".to_owned(),
            "#key#5e key".to_owned(),
            "#sweep cursor".to_owned(),
            "#migrations mig_00000000000000000000000000".to_owned(),
            "#migrations lock".to_owned(),
            "#imported#5e row".to_owned(),
            "#attached 0007".to_owned(),
        ]
    );
    assert_eq!(open_at(&generation.organization, "2026-11-21T09:30:00.123Z"), "acme#2026-11-21T09:30:00.123Z");
}

#[test]
fn shards_are_stable_and_all_used() {
    let shard_of = |name: &str| open_shard(&name.parse().unwrap());
    assert_eq!([shard_of("local"), shard_of("acme"), shard_of("000000000000")], ["0", "7", "5"]);
    let used: HashSet<String> = (0..100).map(|number| shard_of(&format!("organization-{number}"))).collect();
    assert_eq!(used.len(), usize::from(limits::OPEN_SHARDS));
}
