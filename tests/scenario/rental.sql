-- A film rental's database in small: what makes such schemas awkward to carve. The service "rental" owns rental,
-- payment, "Überzug"; the service "catalog" owns film, category, film_category; people and store are others'.
CREATE SCHEMA app;
CREATE TYPE public.rating AS ENUM ('G', 'PG', 'R');
CREATE DOMAIN public."jährlich" AS integer CHECK (VALUE BETWEEN 1901 AND 2155);
CREATE FUNCTION public.last_updated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.last_update := clock_timestamp(); RETURN NEW; END $$;
CREATE FUNCTION public.due(days int) RETURNS date LANGUAGE sql STABLE AS $$ SELECT current_date + days $$;

CREATE TABLE public.people (id serial PRIMARY KEY, name text NOT NULL, last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE public.film (
    film_id serial PRIMARY KEY,
    title text NOT NULL,
    year public."jährlich",
    rating public.rating DEFAULT 'G',
    features text[],
    fulltext tsvector NOT NULL,
    last_update timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX film_fulltext ON public.film USING gist (fulltext);
CREATE TABLE public.category (category_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE public.film_category (
    film_id int REFERENCES public.film ON UPDATE CASCADE ON DELETE RESTRICT,
    category_id int REFERENCES public.category ON UPDATE CASCADE ON DELETE RESTRICT,
    last_update timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (film_id, category_id)
);
CREATE TABLE public.rental (
    rental_id serial PRIMARY KEY,
    film_id int NOT NULL REFERENCES public.film ON UPDATE CASCADE,
    person_id int NOT NULL REFERENCES public.people,
    due date NOT NULL DEFAULT public.due(3),
    turn int,
    last_update timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX rental_turn ON public.rental (turn);
-- The catalog knows its last rental: two services that refer to each other.
ALTER TABLE public.film ADD COLUMN last_rental int;
ALTER TABLE public.film ADD CONSTRAINT film_last_rental FOREIGN KEY (last_rental) REFERENCES public.rental ON DELETE SET NULL;
CREATE TABLE public.payment (
    payment_id serial,
    rental_id int NOT NULL,
    person_id int NOT NULL,
    amount numeric(5,2) NOT NULL,
    payment_date timestamptz NOT NULL,
    PRIMARY KEY (payment_date, payment_id)
) PARTITION BY RANGE (payment_date);
CREATE TABLE public.payment_01 PARTITION OF public.payment FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE public.payment_02 PARTITION OF public.payment FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
-- Declared on each partition, not on the parent.
ALTER TABLE public.payment_01 ADD CONSTRAINT payment_01_rental FOREIGN KEY (rental_id) REFERENCES public.rental;
ALTER TABLE public.payment_01 ADD CONSTRAINT payment_01_person FOREIGN KEY (person_id) REFERENCES public.people;
ALTER TABLE public.payment_02 ADD CONSTRAINT payment_02_rental FOREIGN KEY (rental_id) REFERENCES public.rental;
ALTER TABLE public.payment_02 ADD CONSTRAINT payment_02_person FOREIGN KEY (person_id) REFERENCES public.people;
CREATE TABLE public."Überzug" ("Größe" int, "von" int REFERENCES public.rental, note text, PRIMARY KEY ("Größe", "von"));
CREATE TABLE public.complaint (id serial PRIMARY KEY, rental_id int REFERENCES public.rental);

CREATE TRIGGER last_updated BEFORE UPDATE ON public.film FOR EACH ROW EXECUTE FUNCTION public.last_updated();
CREATE TRIGGER last_updated BEFORE UPDATE ON public.film_category FOR EACH ROW EXECUTE FUNCTION public.last_updated();
CREATE TRIGGER last_updated BEFORE UPDATE ON public.rental FOR EACH ROW EXECUTE FUNCTION public.last_updated();
CREATE TRIGGER film_fulltext_trigger BEFORE INSERT OR UPDATE ON public.film
    FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(fulltext, 'pg_catalog.english', title);
CREATE VIEW public.rented AS SELECT r.rental_id, f.title, p.name FROM public.rental r JOIN public.film f USING (film_id) JOIN public.people p ON p.id = r.person_id;
CREATE VIEW public.titles AS SELECT title, count(*) AS n FROM public.rented GROUP BY title;
CREATE MATERIALIZED VIEW public.takings AS
    SELECT f.film_id, sum(p.amount) AS amount FROM public.payment p JOIN public.rental r USING (rental_id) JOIN public.film f USING (film_id) GROUP BY f.film_id;
CREATE UNIQUE INDEX takings_film ON public.takings (film_id);

INSERT INTO public.people (name) SELECT 'person ' || n FROM generate_series(1, 20) n;
INSERT INTO public.film (title, year, rating, features) SELECT 'film ' || n, 1950 + n, 'PG', ARRAY['Trailers', 'x' || n] FROM generate_series(1, 50) n;
INSERT INTO public.category (name) SELECT 'category ' || n FROM generate_series(1, 5) n;
INSERT INTO public.film_category (film_id, category_id) SELECT n, 1 + n % 5 FROM generate_series(1, 50) n;
INSERT INTO public.rental (film_id, person_id) SELECT 1 + n % 50, 1 + n % 20 FROM generate_series(1, 300) n;
INSERT INTO public.payment (rental_id, person_id, amount, payment_date)
    SELECT n, 1 + n % 20, 2.99, '2024-01-01'::timestamptz + n * interval '4 hours' FROM generate_series(1, 300) n;
INSERT INTO public."Überzug" SELECT n, n, 'note' FROM generate_series(1, 30) n;
INSERT INTO public.complaint (rental_id) SELECT n FROM generate_series(1, 30) n;
REFRESH MATERIALIZED VIEW public.takings;
