-- Takes over the entities of `incoming`, a temporary table of JSON texts as the API has them, one for each entity.
INSERT INTO longhand_entities (id, subject, kind, state, name, fields, parent, generation, revision, created_at, updated_at)
SELECT DISTINCT ON (id) id, subject, kind, state, name, fields, parent, generation, revision, created_at, updated_at
FROM incoming, jsonb_to_record(incoming.entity::jsonb) AS entity (
    id text, subject text, kind text, state text, name text, fields jsonb, parent text, generation text, revision bigint,
    created_at timestamptz, updated_at timestamptz
)
ORDER BY id, created_at DESC, revision DESC
ON CONFLICT (id) DO UPDATE SET
    state = EXCLUDED.state, name = EXCLUDED.name, fields = EXCLUDED.fields, parent = EXCLUDED.parent,
    generation = EXCLUDED.generation, revision = EXCLUDED.revision, created_at = EXCLUDED.created_at,
    updated_at = EXCLUDED.updated_at
WHERE (longhand_entities.created_at, longhand_entities.revision) < (EXCLUDED.created_at, EXCLUDED.revision);
