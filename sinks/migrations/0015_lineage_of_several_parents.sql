-- Lineage where an agent may be made from several: a merge, a crossover.
--
-- Still without WITH RECURSIVE (see 0013): the steps are read into two arrays, and each fold passes one generation. It
-- looks only at the steps between the first and the last of the generation before, and keeps what it has seen as a
-- bitmap. A lambda captures scalars and bitmaps alone: servers before 25.10 copy a captured array for each element.
-- Folds over nothing cost as much as others, so there are three of them, of which the longer ones mostly fold nothing.

CREATE OR REPLACE VIEW {database}.agent_parents
(
    event_id UUID COMMENT 'The evolution\'s event_id in evolution_completed, and its source_event_id in evolution_metrics.',
    agent_id String COMMENT 'The agent that was made.',
    parent_agent_id String COMMENT 'An agent whose state it was made from; a merge has a row for each.',
    parent_event_id Nullable(UUID) COMMENT 'The evolution that had made that parent\'s state, the last one before this began; null if the parent was made from no other agent.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When the evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT
        c.event_id AS event_id,
        c.agent_id AS agent_id,
        arrayDistinct(arrayFilter(
            x -> x != '' AND x != c.agent_id, arrayPushFront(c.parent_agent_ids, ifNull(c.parent_agent_id, ''))
        )) AS parents,
        c.occurred_at AS occurred_at,
        least(c.started_at, c.occurred_at - INTERVAL 1 MICROSECOND) AS began_at,
        c.evolution_id AS evolution_id,
        c.generation AS generation,
        c.strategy_used AS strategy_used
    FROM {database}.evolution_completed AS c
    WHERE c.success AND notEmpty(parents)
)
SELECT
    s.event_id AS event_id,
    s.agent_id AS agent_id,
    s.parent AS parent_agent_id,
    if(p.agent_id = '', NULL, p.event_id) AS parent_event_id,
    s.occurred_at AS occurred_at,
    s.evolution_id AS evolution_id,
    s.generation AS generation,
    s.strategy_used AS strategy_used
FROM (SELECT *, arrayJoin(parents) AS parent FROM steps) AS s
ASOF LEFT JOIN (SELECT agent_id, occurred_at, event_id FROM steps) AS p
    ON s.parent = p.agent_id AND s.began_at >= p.occurred_at
COMMENT 'Evolutions that were kept and made an agent from the states of others, a row for each parent.';

CREATE OR REPLACE VIEW {database}.agent_ancestors
(
    distance UInt32 COMMENT 'How many generations away, by the shortest way: 1 for a parent, 2 for a parent\'s parent; at most 1000.',
    agent_id String COMMENT 'The ancestor.',
    child_agent_id String COMMENT 'The agent that was made from it.',
    event_id UUID COMMENT 'The evolution that made the child: its event_id in evolution_completed.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When that evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'That evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The child\'s generation that it produced (0 where unknown).',
    strategy_used String COMMENT 'Evolution strategy applied.',
    gain Nullable(Float64) COMMENT 'How much better the child\'s performance got by it; null where unknown.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT *, toUInt32(dense_rank() OVER (ORDER BY occurred_at, event_id)) AS number
    FROM {database}.agent_parents
),
line AS
(
    WITH
        (path, _) -> arrayMap(
            (seen, next, passed, sizes) -> (
                bitmapAndnot(next, seen),
                bitmapOr(seen, next),
                arrayConcat(passed, bitmapToArray(bitmapAndnot(next, seen))),
                arrayPushBack(sizes, bitmapAndnotCardinality(next, seen))
            ),
            [path.2],
            arrayMap(
                (last, begin, size) -> bitmapBuild(arrayFilter(
                    (x, y) -> bitmapContains(last, y), arraySlice(places, begin, size), arraySlice(numbers, begin, size)
                )),
                [path.1],
                arrayMap(u -> greatest(arrayFirstIndex(x -> x >= u, numbers), 1), [bitmapMin(path.1)]),
                arrayMap((u, v) -> arrayCount(x -> x >= u AND x <= v, numbers), [bitmapMin(path.1)], [bitmapMax(path.1)])
            ),
            [path.3],
            [path.4]
        )[1] AS pass,
        arrayFold(
            pass, range(24), (bitmapBuild([origin]), bitmapBuild([toUInt32(0), origin]), [origin], [toUInt64(1)])
        ) AS near,
        arrayFold(pass, range(if(near.4[-1] = 0, 0, 175)), near) AS further
    SELECT arrayFold(pass, range(if(further.4[-1] = 0, 0, 800)), further) AS found
    FROM
    (
        SELECT
            groupArray(number) AS numbers,
            groupArray(place) AS places,
            maxIf(number, agent = {agent:String}) AS origin
        FROM
        (
            SELECT s.number AS number, p.number AS place, s.agent_id AS agent
            FROM steps AS s
            LEFT JOIN (SELECT DISTINCT event_id, number FROM steps) AS p ON s.parent_event_id = p.event_id
            ORDER BY number
        )
    )
)
SELECT
    l.distance AS distance,
    s.parent_agent_id AS agent_id,
    s.agent_id AS child_agent_id,
    s.event_id AS event_id,
    s.occurred_at AS occurred_at,
    s.evolution_id AS evolution_id,
    s.generation AS generation,
    s.strategy_used AS strategy_used,
    m.improvement_delta AS gain
FROM steps AS s
INNER JOIN
(
    SELECT
        arrayJoin(arrayZip(
            found.3,
            arrayFlatten(arrayMap((size, far) -> arrayResize([far], size, far), found.4, arrayEnumerate(found.4)))
        )) AS step,
        step.1 AS number,
        step.2 AS distance
    FROM line
) AS l ON s.number = l.number
LEFT JOIN {database}.evolution_metrics AS m ON m.agent_id = s.agent_id AND m.source_event_id = s.event_id
COMMENT 'The agents that one\'s present state goes back to, a row for each that one of them was made from: agent_ancestors(agent = \'...\').';

CREATE OR REPLACE VIEW {database}.agent_descendants
(
    distance UInt32 COMMENT 'How many generations away, by the shortest way: 1 for an agent that was made from it, 2 for one made from that; at most 1000.',
    agent_id String COMMENT 'The descendant.',
    parent_agent_id String COMMENT 'The agent that it was made from; a merge has a row for each that goes back to it.',
    event_id UUID COMMENT 'The evolution that made it: its event_id in evolution_completed.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When that evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'That evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The descendant\'s generation that it produced (0 where unknown).',
    strategy_used String COMMENT 'Evolution strategy applied.',
    gain Nullable(Float64) COMMENT 'How much better the descendant\'s performance got by it; null where unknown.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT *, toUInt32(dense_rank() OVER (ORDER BY occurred_at, event_id)) AS number
    FROM {database}.agent_parents
),
edges AS
(
    SELECT s.*, s.number AS child, p.number AS place
    FROM steps AS s
    LEFT JOIN (SELECT DISTINCT event_id, number FROM steps) AS p ON s.parent_event_id = p.event_id
),
tree AS
(
    WITH
        (path, _) -> arrayMap(
            (seen, next, passed, sizes) -> (
                bitmapAndnot(next, seen),
                bitmapOr(seen, next),
                arrayConcat(passed, bitmapToArray(bitmapAndnot(next, seen))),
                arrayPushBack(sizes, bitmapAndnotCardinality(next, seen))
            ),
            [path.2],
            arrayMap(
                (last, begin, size) -> bitmapBuild(arrayFilter(
                    (x, y) -> bitmapContains(last, y), arraySlice(numbers, begin, size), arraySlice(places, begin, size)
                )),
                [path.1],
                arrayMap(u -> greatest(arrayFirstIndex(x -> x >= u, places), 1), [bitmapMin(path.1)]),
                arrayMap((u, v) -> arrayCount(x -> x >= u AND x <= v, places), [bitmapMin(path.1)], [bitmapMax(path.1)])
            ),
            [path.3],
            [path.4]
        )[1] AS pass,
        arrayFold(
            pass, range(24), (bitmapBuild(direct), bitmapBuild(direct), direct, [length(direct)])
        ) AS near,
        arrayFold(pass, range(if(near.4[-1] = 0, 0, 175)), near) AS further
    SELECT arrayFold(pass, range(if(further.4[-1] = 0, 0, 799)), further) AS found
    FROM
    (
        SELECT
            groupArray(number) AS numbers,
            groupArray(place) AS places,
            groupUniqArrayIf(number, parent = {agent:String}) AS direct
        FROM (SELECT child AS number, place, parent_agent_id AS parent FROM edges ORDER BY place)
    )
)
SELECT
    if(e.parent_agent_id = {agent:String}, 1, t.distance + 1) AS distance,
    e.agent_id AS agent_id,
    e.parent_agent_id AS parent_agent_id,
    e.event_id AS event_id,
    e.occurred_at AS occurred_at,
    e.evolution_id AS evolution_id,
    e.generation AS generation,
    e.strategy_used AS strategy_used,
    m.improvement_delta AS gain
FROM edges AS e
LEFT JOIN
(
    SELECT
        arrayJoin(arrayZip(
            found.3,
            arrayFlatten(arrayMap((size, far) -> arrayResize([far], size, far), found.4, arrayEnumerate(found.4)))
        )) AS step,
        step.1 AS number,
        step.2 AS distance
    FROM tree
) AS t ON e.place = t.number
LEFT JOIN {database}.evolution_metrics AS m ON m.agent_id = e.agent_id AND m.source_event_id = e.event_id
WHERE e.parent_agent_id = {agent:String} OR t.distance > 0
COMMENT 'The agents that were made from one\'s states, and from theirs, a row for each parent: agent_descendants(agent = \'...\').';
