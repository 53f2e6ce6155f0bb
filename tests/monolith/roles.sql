-- The roles of the sample monolith. Run once per cluster by a superuser; running it again changes nothing.
--
-- monolith_owner  owns the database and everything in it; loads schema.sql and seed.sql
-- monolith_app    the monolith's application; may do what every service may do while they live together
-- *_app           one role per service that has begun to live on its own
-- monolith_staff  people: reads all tables, rows included that row security hides from the application
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('monolith_owner', 'LOGIN'), ('monolith_app', 'LOGIN'), ('monolith_staff', 'NOLOGIN'),
            ('checkout_app', 'LOGIN'), ('reporting_app', 'LOGIN'), ('payments_app', 'LOGIN'),
            ('catalog_app', 'LOGIN'), ('support_app', 'LOGIN')) AS r(name, attributes)
    LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.attributes);
        END IF;
    END LOOP;
END
$$;

GRANT checkout_app, reporting_app, payments_app, catalog_app, support_app TO monolith_app;
