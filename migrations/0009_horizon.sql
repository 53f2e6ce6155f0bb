-- Within one database a verification may take several snapshots, or take up an earlier one: what was written since is known by
-- the rows' transaction numbers. `horizon`: transactions from this number on may not have been seen by the comparison.
ALTER TABLE pgcarve.verify_range ADD COLUMN horizon xid8;
-- Numbers mean something within one cluster only: its system identifier.
ALTER TABLE pgcarve.verification ADD COLUMN horizon xid8, ADD COLUMN cluster bigint;
