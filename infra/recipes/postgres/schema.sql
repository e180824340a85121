-- The mirror of a deployment's entities. `created_at` and `revision` decide: an older state never replaces a newer one, however late an event
-- comes. A subject that is deleted and made again has entities with the same ids, whose revisions begin anew: those were created later.
CREATE TABLE IF NOT EXISTS longhand_entities (
    id text PRIMARY KEY,
    subject text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    name text NOT NULL,
    fields jsonb NOT NULL,
    parent text,
    generation text NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS longhand_entities_of_subjects ON longhand_entities (subject);
