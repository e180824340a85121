-- The mirror of a deployment's entities. `revision` decides: an older state never replaces a newer one, however late an event comes.
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
    updated_at timestamptz NOT NULL
);
