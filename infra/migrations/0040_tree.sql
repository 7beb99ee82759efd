-- The Merkle tree over the log: signed heads, and the roots of its complete subtrees of 1024 events,
-- from which proofs are made. `tree` names one tree from its first head on.
CREATE TABLE tree_heads (
    tree text NOT NULL,
    size bigint NOT NULL,
    at bigint NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (tree, size, at)
);
CREATE INDEX tree_heads_at_idx ON tree_heads (at);
CREATE TABLE tree_tiles (
    tree text NOT NULL,
    number bigint NOT NULL,
    last_position bigint NOT NULL,
    root bytea NOT NULL,
    PRIMARY KEY (tree, number)
);
CREATE INDEX tree_tiles_last_position_idx ON tree_tiles (tree, last_position);
