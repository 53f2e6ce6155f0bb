DROP VIEW IF EXISTS "pgcarve"."pgcarve_checkout.orders_rows";
DROP VIEW IF EXISTS "pgcarve"."pgcarve_public.orders_rows";
CREATE VIEW "pgcarve"."pgcarve_checkout.orders_rows" AS SELECT "id", "Note" FROM "checkout"."orders";
CREATE VIEW "pgcarve"."pgcarve_public.orders_rows" AS SELECT "id", "Note" FROM "public"."orders";
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_fence"() RETURNS trigger LANGUAGE plpgsql AS '
BEGIN
    IF pg_catalog.current_setting(''search_path'') OPERATOR(pg_catalog.<>) ''pg_catalog, pgcarve, pg_temp'' AND coalesce(pg_catalog.current_setting(''pgcarve.mirror'', true), '''') OPERATOR(pg_catalog.<>) ''on''
        AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1 THEN
        RAISE EXCEPTION USING ERRCODE = ''PGC01'',
            MESSAGE = ''table "public"."orders" moved to service checkout'',
            HINT = ''write to "checkout"."orders"'';
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) ''DELETE'' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_fence"() FROM PUBLIC;
CREATE OR REPLACE FUNCTION "pgcarve"."pgcarve_public.orders_fence_check"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS '
#variable_conflict use_column
BEGIN
    IF TG_OP <> ''INSERT'' THEN
        IF EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS t WHERE t."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS x WHERE x."id" = OLD."id"
                AND ROW(x."id", x."Note")::record OPERATOR(pg_catalog.*=) ROW(t."id", t."Note")::record))
        OR EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t WHERE t."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = OLD."id"
                AND ROW(x."id", x."Note")::record OPERATOR(pg_catalog.*=) ROW(t."id", t."Note")::record)) THEN
            RAISE EXCEPTION USING ERRCODE = ''PGC01'',
                MESSAGE = ''table "public"."orders" moved to service checkout'',
                HINT = ''write to "checkout"."orders"'';
        END IF;
    END IF;
    IF TG_OP <> ''DELETE'' THEN
        IF EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS t WHERE t."id" = NEW."id"
            AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS x WHERE x."id" = NEW."id"
                AND ROW(x."id", x."Note")::record OPERATOR(pg_catalog.*=) ROW(t."id", t."Note")::record))
        OR EXISTS (SELECT FROM "pgcarve"."pgcarve_checkout.orders_rows" AS t WHERE t."id" = NEW."id"
            AND NOT EXISTS (SELECT FROM "pgcarve"."pgcarve_public.orders_rows" AS x WHERE x."id" = NEW."id"
                AND ROW(x."id", x."Note")::record OPERATOR(pg_catalog.*=) ROW(t."id", t."Note")::record)) THEN
            RAISE EXCEPTION USING ERRCODE = ''PGC01'',
                MESSAGE = ''table "public"."orders" moved to service checkout'',
                HINT = ''write to "checkout"."orders"'';
        END IF;
    END IF;
    RETURN NULL;
END
';
REVOKE ALL ON FUNCTION "pgcarve"."pgcarve_public.orders_fence_check"() FROM PUBLIC;
DROP TRIGGER IF EXISTS "pgcarve_fence" ON "public"."orders";
CREATE TRIGGER "pgcarve_fence" BEFORE INSERT OR DELETE OR UPDATE ON "public"."orders" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_fence"();
DROP TRIGGER IF EXISTS "pgcarve_fence_truncate" ON "public"."orders";
CREATE TRIGGER "pgcarve_fence_truncate" BEFORE TRUNCATE ON "public"."orders" FOR EACH STATEMENT EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_fence"();
DROP TRIGGER IF EXISTS "pgcarve_fence_check" ON "public"."orders";
CREATE CONSTRAINT TRIGGER "pgcarve_fence_check" AFTER INSERT OR DELETE OR UPDATE ON "public"."orders" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) 'pg_catalog, pgcarve, pg_temp' AND coalesce(pg_catalog.current_setting('pgcarve.mirror', true), '') OPERATOR(pg_catalog.<>) 'on') EXECUTE FUNCTION "pgcarve"."pgcarve_public.orders_fence_check"();
ALTER TABLE "public"."orders" DISABLE TRIGGER "pgcarve_fence";
ALTER TABLE "public"."orders" DISABLE TRIGGER "pgcarve_fence_truncate";
ALTER TABLE "public"."orders" DISABLE TRIGGER "pgcarve_fence_check";
