-- Takes over entities: `entities` is a JSON list of them, as the API has them.
INSERT INTO longhand_entities (id, subject, kind, state, name, fields, parent, generation, revision, updated_at)
SELECT id, subject, kind, state, name, fields, parent, generation, revision, updated_at
FROM jsonb_to_recordset((:'entities')::jsonb) AS entity (
    id text, subject text, kind text, state text, name text, fields jsonb, parent text, generation text, revision bigint,
    updated_at timestamptz
)
ON CONFLICT (id) DO UPDATE SET
    state = EXCLUDED.state, name = EXCLUDED.name, fields = EXCLUDED.fields, parent = EXCLUDED.parent,
    generation = EXCLUDED.generation, revision = EXCLUDED.revision, updated_at = EXCLUDED.updated_at
WHERE longhand_entities.revision < EXCLUDED.revision;
