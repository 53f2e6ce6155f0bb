-- What tables can stand on, beside what tests/pg/torture.sql has: loaded behind it by the same ordinary role.
CREATE SCHEMA "Büro ""1""";
CREATE EXTENSION btree_gist SCHEMA shop;
CREATE EXTENSION citext;
CREATE COLLATION "Büro ""1""".binary (provider = libc, locale = 'C');
CREATE COLLATION "Büro ""1""".caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE "Büro ""1"""."Farbe" AS ENUM ('rot', 'grün', 'it''s "blue"', 'b\w');
COMMENT ON TYPE "Büro ""1"""."Farbe" IS 'an enum';
CREATE DOMAIN shop.tiny_positive AS shop.positive DEFAULT 7 CONSTRAINT below_ten CHECK (VALUE < 10);
CREATE DOMAIN shop.code AS varchar(8) COLLATE "C" NOT NULL CONSTRAINT known CHECK (VALUE IN ('a', 'b'));
CREATE TYPE "Büro ""1""".measure AS ("Größe" shop.tiny_positive, unit "Büro ""1"""."Farbe", label text COLLATE "C");
CREATE DOMAIN shop.measures AS "Büro ""1""".measure[] CHECK (cardinality(VALUE) < 5);
CREATE FUNCTION shop.distance(a float8, b float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT a - b';
CREATE TYPE shop.float_span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = shop.distance);
CREATE TYPE "Büro ""1""".text_span AS RANGE (SUBTYPE = text, COLLATION = "Büro ""1""".binary);
CREATE FUNCTION shop.is_color(c "Büro ""1"""."Farbe") RETURNS boolean IMMUTABLE LANGUAGE sql SET search_path = pg_catalog AS $$ SELECT c::text <> '' $$;
CREATE DOMAIN shop.checked_color AS "Büro ""1"""."Farbe" CHECK (shop.is_color(VALUE));
CREATE FUNCTION "Büro ""1""".helper(i int, VARIADIC more int[] DEFAULT '{}') RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN i; END $$;
REVOKE EXECUTE ON FUNCTION "Büro ""1""".helper(int, int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "Büro ""1""".helper(int, int[]) TO reader;
CREATE FUNCTION "Büro ""1""".on_thing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "Büro ""1""".helper(1); RETURN NEW; END $$;
CREATE SEQUENCE "Büro ""1""".numbers AS int START 10 INCREMENT 5 MAXVALUE 9999 CACHE 4 CYCLE;
GRANT USAGE ON SEQUENCE "Büro ""1""".numbers TO reader;
CREATE TEXT SEARCH DICTIONARY shop.plain (TEMPLATE = pg_catalog.simple, accept = false, stopwords = english);
CREATE TEXT SEARCH CONFIGURATION shop.words (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION shop.words ADD MAPPING FOR asciiword, word WITH shop.plain, english_stem;

CREATE TABLE shop."Dinge""!" (
    id smallserial PRIMARY KEY,
    number int NOT NULL DEFAULT nextval('"Büro ""1""".numbers'),
    color "Büro ""1"""."Farbe" DEFAULT 'grün',
    checked shop.checked_color,
    colors "Büro ""1"""."Farbe"[],
    size shop.tiny_positive,
    sizes shop.tiny_positive[],
    code shop.code DEFAULT 'a',
    one "Büro ""1""".measure,
    many "Büro ""1""".measure[],
    domained shop.measures,
    span shop.float_span,
    spans shop.float_span[],
    texts "Büro ""1""".text_span,
    mail citext,
    name text COLLATE "Büro ""1""".caseless,
    kind varchar(10) CONSTRAINT "kind's" CHECK (kind IN ('x', 'it''s', 'z')),
    room int,
    at tsrange,
    dropped int,
    made timestamptz DEFAULT now(),
    twice int GENERATED ALWAYS AS (shop.twice(room)) STORED,
    EXCLUDE USING gist (room WITH =, at WITH &&),
    CONSTRAINT late UNIQUE (room, number) DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE shop."Dinge""!" DROP COLUMN dropped;
COMMENT ON SEQUENCE shop."Dinge""!_id_seq" IS 'a sequence';
GRANT USAGE ON SEQUENCE shop."Dinge""!_id_seq" TO reader;
CREATE INDEX by_kind ON shop."Dinge""!" (lower(kind)) WHERE kind IN ('x', 'z');
CREATE INDEX by_words ON shop."Dinge""!" USING gin (to_tsvector('shop.words', kind));
CREATE INDEX by_mail ON shop."Dinge""!" (mail, name);
SELECT current_setting('server_version_num')::int >= 140000 AS expressions \gset
\if :expressions
CREATE STATISTICS shop.by_both ON (room + 1), number FROM shop."Dinge""!";
\endif
CREATE TRIGGER "On Thing" AFTER UPDATE OF kind ON shop."Dinge""!" FOR EACH ROW
    WHEN (OLD.kind IN ('x', 'z')) EXECUTE FUNCTION "Büro ""1""".on_thing('shop.customers');
ALTER TABLE shop."Dinge""!" ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON shop."Dinge""!" FOR SELECT
    USING ((SELECT count(*) FROM shop."Dinge""!" shop2 JOIN shop.customers ON true WHERE shop2.id = customers.id) > 0);
