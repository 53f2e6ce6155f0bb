DROP VIEW IF EXISTS "pgcarve"."pgcarve_public.orders_rows";
DROP VIEW IF EXISTS "pgcarve"."pgcarve_checkout.orders_rows";
CREATE VIEW "pgcarve"."pgcarve_public.orders_rows" AS SELECT "id", "Note" FROM "public"."orders";
CREATE VIEW "pgcarve"."pgcarve_checkout.orders_rows" AS SELECT "id", "Note" FROM "checkout"."orders";
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_insert"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pgcarve, pg_temp SET enable_seqscan = off AS '
#variable_conflict use_column
DECLARE
    touched bigint;
BEGIN
    IF pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
        PERFORM FROM pgcarve_new AS n CROSS JOIN LATERAL (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = n."id" OFFSET 0 FOR KEY SHARE) AS s;
    END IF;
    INSERT INTO "pgcarve"."pgcarve_checkout.orders_rows" ("id", "Note") OVERRIDING SYSTEM VALUE
    SELECT s."id", s."Note" FROM pgcarve_new AS n CROSS JOIN LATERAL (SELECT x."id", x."Note" FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = n."id" OFFSET 0) AS s
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "Note" = EXCLUDED."Note";
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_mirror_insert"() FROM PUBLIC;
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_update"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pgcarve, pg_temp SET enable_seqscan = off AS '
#variable_conflict use_column
DECLARE
    touched bigint;
BEGIN
    IF pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
        PERFORM FROM pgcarve_new AS n CROSS JOIN LATERAL (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = n."id" OFFSET 0 FOR KEY SHARE) AS s;
    END IF;
    INSERT INTO "pgcarve"."pgcarve_checkout.orders_rows" ("id", "Note") OVERRIDING SYSTEM VALUE
    SELECT s."id", s."Note" FROM pgcarve_new AS n CROSS JOIN LATERAL (SELECT x."id", x."Note" FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = n."id" OFFSET 0) AS s
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "Note" = EXCLUDED."Note";
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_mirror_update"() FROM PUBLIC;
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_delete"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pgcarve, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS '
#variable_conflict use_column
DECLARE
    touched bigint;
BEGIN
    IF pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
        PERFORM FROM pgcarve_old AS n CROSS JOIN LATERAL (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = n."id" OFFSET 0 FOR KEY SHARE) AS s;
    END IF;
    DELETE FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t USING pgcarve_old AS o
    WHERE t."id" = o."id" AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = o."id" OFFSET 0);
    IF pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
        GET DIAGNOSTICS touched = ROW_COUNT;
        IF touched < (SELECT pg_catalog.count(*) FROM pgcarve_old AS o WHERE NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = o."id" OFFSET 0)) THEN
            BEGIN
            INSERT INTO "pgcarve"."pgcarve_checkout.orders_rows" ("id", "Note") OVERRIDING SYSTEM VALUE
            SELECT o."id", o."Note" FROM pgcarve_old AS o WHERE NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = o."id" OFFSET 0)
            ON CONFLICT ("id") DO NOTHING;
            DELETE FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t USING pgcarve_old AS o
    WHERE t."id" = o."id" AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = o."id" OFFSET 0);
            EXCEPTION WHEN foreign_key_violation THEN
                NULL;
            END;
        END IF;
    END IF;
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_mirror_delete"() FROM PUBLIC;
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_key"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pgcarve, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS '
#variable_conflict use_column
DECLARE
    touched bigint;
BEGIN
    IF pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
        PERFORM FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = OLD."id" FOR KEY SHARE;
    END IF;
    UPDATE "pgcarve"."pgcarve_checkout.orders_rows" AS t SET "id" = NEW."id"
    WHERE t."id" = OLD."id"
      AND EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = NEW."id" OFFSET 0)
      AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS u WHERE u."id" = NEW."id" OFFSET 0);
    IF FOUND THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = OLD."id" OFFSET 0) THEN
        DELETE FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t WHERE t."id" = OLD."id";
        IF NOT FOUND AND pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' THEN
            BEGIN
            INSERT INTO "pgcarve"."pgcarve_checkout.orders_rows" ("id", "Note") OVERRIDING SYSTEM VALUE
            SELECT OLD."id", OLD."Note" WHERE true
            ON CONFLICT ("id") DO NOTHING;
            DELETE FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t WHERE t."id" = OLD."id";
            EXCEPTION WHEN foreign_key_violation THEN
                NULL;
            END;
        END IF;
    END IF;
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_mirror_key"() FROM PUBLIC;
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_truncate"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pgcarve, pg_temp AS '
#variable_conflict use_column
DECLARE
    touched bigint;
BEGIN
    TRUNCATE "checkout"."orders";
    INSERT INTO "pgcarve"."pgcarve_checkout.orders_rows" ("id", "Note") OVERRIDING SYSTEM VALUE
    SELECT x."id", x."Note" FROM "pgcarve"."pgcarve_public.orders_rows" AS x
    WHERE NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t WHERE t."id" = x."id")
    ON CONFLICT ("id") DO NOTHING;
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_mirror_truncate"() FROM PUBLIC;
DROP TRIGGER IF EXISTS "pgcarve_mirror_insert" ON "public"."orders";
CREATE TRIGGER "pgcarve_mirror_insert" AFTER INSERT ON "public"."orders" REFERENCING NEW TABLE AS "pgcarve_new" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_insert"();
DROP TRIGGER IF EXISTS "pgcarve_mirror_update" ON "public"."orders";
CREATE TRIGGER "pgcarve_mirror_update" AFTER UPDATE ON "public"."orders" REFERENCING NEW TABLE AS "pgcarve_new" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_update"();
DROP TRIGGER IF EXISTS "pgcarve_mirror_delete" ON "public"."orders";
CREATE TRIGGER "pgcarve_mirror_delete" AFTER DELETE ON "public"."orders" REFERENCING OLD TABLE AS "pgcarve_old" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_delete"();
DROP TRIGGER IF EXISTS "pgcarve_mirror_key" ON "public"."orders";
CREATE TRIGGER "pgcarve_mirror_key" AFTER UPDATE OF "id" ON "public"."orders" FOR EACH ROW WHEN (NOT (OLD."id" = NEW."id")) EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_key"();
DROP TRIGGER IF EXISTS "pgcarve_mirror_truncate" ON "public"."orders";
CREATE TRIGGER "pgcarve_mirror_truncate" AFTER TRUNCATE ON "public"."orders" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_mirror_truncate"();
ALTER TABLE "public"."orders" ENABLE TRIGGER "pgcarve_mirror_insert";
ALTER TABLE "public"."orders" ENABLE TRIGGER "pgcarve_mirror_update";
ALTER TABLE "public"."orders" ENABLE TRIGGER "pgcarve_mirror_delete";
ALTER TABLE "public"."orders" ENABLE TRIGGER "pgcarve_mirror_key";
ALTER TABLE "public"."orders" ENABLE TRIGGER "pgcarve_mirror_truncate";
