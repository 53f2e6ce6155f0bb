// Goal: services with awkward tables go through their whole life under writes, in every way that pgcarve.toml offers,
// and nothing written is lost; what hangs on the tables follows them; what was cancelled leaves nothing.
// Method: the real binary beside clients that write, on a film rental's schema in small (rental.sql).
#include "scenario/carving.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

test::Server& server() { return test::Server::shared(); }

std::vector<std::string> const rental_tables{"rental", "payment", "\"Überzug\""};
std::vector<std::string> const catalog_tables{"film", "category", "film_category"};

std::string rental(std::string const& more = {}) {
    return "[service.rental]\ntables = [\"rental\", \"payment\", \"Überzug\"]\n" + more;
}
std::string const films = "[service.catalog]\ntables = [\"film\", \"category\", \"film_category\"]\n";

// A rental with its payment, and changes to older ones; writes to the tables of "rental" alone.
test::Writer::Work rentals() {
    return {{"INSERT INTO {}.rental (film_id, person_id, turn) VALUES (1 + # % 50, 1 + # % 20, #)",
             "INSERT INTO {}.payment (rental_id, person_id, amount, payment_date)"
             " SELECT rental_id, person_id, 1.5, '2024-01-15'::timestamptz + # % 40 * interval '1 day' FROM {}.rental WHERE turn = #",
             "UPDATE {}.rental SET due = due + 1 WHERE rental_id = 1 + # % 200", "DELETE FROM {}.payment WHERE payment_id = 300 - # % 50",
             "INSERT INTO {}.\"Überzug\" VALUES (#, 1 + # % 100, 'neu') ON CONFLICT (\"Größe\", \"von\") DO UPDATE SET note = 'wieder'"},
            "SELECT count(*) FROM {}.rental WHERE turn = ANY ('{#}')"};
}
test::Writer::Work filming() {
    return {{"INSERT INTO {}.film (title, year, features) VALUES ('new #', 2000, ARRAY['#'])",
             "UPDATE {}.film SET title = title || '!' WHERE film_id = 1 + # % 50 AND length(title) < 20",
             "UPDATE {}.film_category SET last_update = '2000-01-01' WHERE film_id = 1 + # % 50"},
            "SELECT count(DISTINCT features) FROM {}.film WHERE cardinality(features) = 1 AND features[1] = ANY ('{#}')"};
}

struct Shop {
    explicit Shop(std::string const& services) : carving{server(), server().create_database(), services} {
        server().load(carving.database(), std::filesystem::path{PGCARVE_SOURCE_DIR} / "tests/scenario/rental.sql");
        carving.expect(0, "init --yes");
    }
    void expect_equal(std::vector<std::string> const& tables, std::string const& schema) const {
        auto session = carving.connect();
        EXPECT_EQ(Carving::differing(session, tables, schema), "");
    }
    // After `complete`: no trigger of pgcarve's is on the new tables, and nothing of the application's reads the held ones.
    void expect_retired(std::string const& schema) const {
        EXPECT_EQ(carving.value(fmt::format("SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid"
                                            " WHERE p.pronamespace = 'pgcarve'::regnamespace AND c.relnamespace = '{}'::regnamespace",
                                            schema)),
                  "0");
        EXPECT_EQ(carving.value(fmt::format("SELECT string_agg(DISTINCT p.oid::regprocedure::text, ', ') FROM pg_proc p WHERE p.pronamespace ="
                                            " 'pgcarve'::regnamespace AND p.proname <> 'refuse_change' AND obj_description(p.oid) LIKE '%{}%'",
                                            schema)),
                  "NULL");
        EXPECT_EQ(carving.value(fmt::format("SELECT string_agg(conname, ', ') FROM pg_constraint WHERE contype = 'f' AND NOT convalidated"
                                            " AND (connamespace = '{0}'::regnamespace OR confrelid IN (SELECT oid FROM pg_class WHERE relnamespace ="
                                            " '{0}'::regnamespace))",
                                            schema)),
                  "NULL");
    }
    [[nodiscard]] std::string refers_to(std::string const& table) const { // of the foreign keys of a table
        return carving.value(fmt::format("SELECT string_agg(confrelid::regclass::text, ', ' ORDER BY 1) FROM pg_constraint WHERE contype = 'f'"
                                         " AND conrelid = '{}'::regclass",
                                         table));
    }
    Carving carving;
};

TEST(Lifecycle, ThereAndBackAndThereAgainUnderWrites) {
    Shop const shop{rental()};
    auto const& carving = shop.carving;
    test::Writer writer{server(), carving.database(), "rental", rentals()};
    writer.more(5);
    auto const lossless = [&](std::string const& schema) {
        writer.more(5);
        auto session = carving.connect();
        EXPECT_EQ(writer.lost(session, schema), 0);
    };
    carving.expect(0, "split rental --yes");
    for (std::string const verb : {"verify", "cutover", "verify", "rollback", "verify", "cutover", "verify"}) {
        lossless(verb == "cutover" ? "public" : "rental");
        carving.expect(0, verb + " rental" + (verb == "verify" ? "" : " --yes"));
        lossless("rental");
        lossless("public");
        shop.expect_equal(rental_tables, "rental");
        if (HasFailure())
            return;
    }
    carving.expect(0, "complete rental --yes");
    lossless("rental");
    EXPECT_EQ(carving.phase("rental"), "completed");
    shop.expect_retired("rental");
    EXPECT_EQ(shop.refers_to("public.complaint"), "rental.rental");
    EXPECT_EQ(shop.refers_to("public.film"), "rental.rental");
    EXPECT_EQ(shop.refers_to("rental.payment_01"), "public.people, rental.rental");
    carving.expect(0, "complete rental --purge --yes");
    EXPECT_EQ(carving.value("SELECT to_regclass('public.rental')"), "NULL");
    lossless("rental");
    writer.stop();
    // Views read the new tables, and sequences go on.
    EXPECT_EQ(carving.value("SELECT (SELECT count(*) FROM public.rented) = (SELECT count(*) FROM rental.rental)"), "true");
    carving.sql("REFRESH MATERIALIZED VIEW CONCURRENTLY public.takings");
    EXPECT_EQ(carving.value("SELECT (SELECT sum(amount) FROM public.takings) = (SELECT sum(amount) FROM rental.payment)"), "true");
    carving.sql("DO $$ BEGIN ASSERT (SELECT max(rental_id) FROM rental.rental) < nextval('rental.rental_rental_id_seq'); END $$");
}

TEST(Lifecycle, TwoServicesThatReferToEachOther) {
    Shop const shop{rental() + films};
    auto const& carving = shop.carving;
    test::Writer renting{server(), carving.database(), "rental", rentals()};
    test::Writer cataloguing{server(), carving.database(), "catalog", filming()};
    for (std::string const verb : {"split {} --yes", "verify {}", "cutover {} --yes", "verify {}", "complete {} --yes", "complete {} --purge --yes"}) {
        for (std::string const service : {"rental", "catalog"}) {
            auto const line = fmt::format(fmt::runtime(verb), service);
            // `complete` locks the tables of both services, beside the writers of both: on a slow machine its tries may not be enough, and
            // it says to run it again.
            auto output = carving.run(line);
            for (int more = 5; verb.starts_with("complete") && output.exit == 4 && output.err.find("lock-not-acquired") != std::string::npos && more > 0; --more)
                output = carving.run(line);
            ASSERT_EQ(output.exit, 0) << line << "\n" << output.out << output.err;
            renting.more(3);
            cataloguing.more(3);
            if (HasFailure())
                return;
        }
    }
    auto session = carving.connect();
    EXPECT_EQ(renting.lost(session, "rental"), 0);
    EXPECT_EQ(cataloguing.lost(session, "catalog"), 0);
    renting.stop();
    cataloguing.stop();
    shop.expect_retired("rental");
    shop.expect_retired("catalog");
    EXPECT_EQ(shop.refers_to("catalog.film"), "rental.rental");
    EXPECT_EQ(shop.refers_to("rental.rental"), "catalog.film, public.people");
    EXPECT_EQ(carving.value("SELECT (SELECT sum(n) FROM public.titles) = (SELECT count(*) FROM rental.rental)"), "true");
}

TEST(Lifecycle, CancelLeavesTheCatalogAsItWas) {
    Shop const shop{rental() + films};
    auto const& carving = shop.carving;
    auto session = carving.connect();
    auto const before = test::catalog_text(session);
    test::Writer writer{server(), carving.database(), "rental", rentals()};
    for (std::string const service : {"rental", "catalog"}) {
        carving.expect(0, "split " + service + " --yes");
        writer.more(3);
        carving.expect(0, "cancel " + service + " --yes");
        writer.more(3);
    }
    // Also after a cutover that was rolled back.
    for (std::string const verb : {"split rental --yes", "verify rental", "cutover rental --yes", "verify rental", "rollback rental --yes", "cancel rental --yes"})
        carving.expect(0, verb);
    EXPECT_EQ(test::line_difference(before, test::catalog_text(session)), "");
    EXPECT_EQ(writer.lost(session, "public"), 0);
}

TEST(Lifecycle, AViewAtTheOldName) {
    Shop const shop{rental("legacy = \"view\"\n")};
    auto const& carving = shop.carving;
    test::Writer writer{server(), carving.database(), "rental", // an unchanged monolith: it never looks elsewhere
                        {{"INSERT INTO public.rental (film_id, person_id, turn) VALUES (1 + # % 50, 1 + # % 20, #)",
                          "UPDATE public.rental SET due = due + 1 WHERE rental_id = 1 + # % 200"},
                         rentals().proof}};
    for (std::string const verb : {"split rental --yes", "verify rental", "cutover rental --yes", "verify rental", "rollback rental --yes", "verify rental",
                                   "cutover rental --yes", "verify rental", "complete rental --yes"}) {
        carving.expect(0, verb);
        writer.more(5);
        auto session = carving.connect();
        EXPECT_EQ(writer.lost(session, "public"), 0) << verb;
        EXPECT_EQ(writer.lost(session, "rental"), 0) << verb;
        if (HasFailure())
            return;
    }
    EXPECT_EQ(carving.value("SELECT relkind FROM pg_class WHERE oid = 'public.rental'::regclass"), "v");
    carving.expect(0, "complete rental --purge --yes");
    writer.more(5);
    writer.stop();
    shop.expect_retired("rental");
    EXPECT_EQ(shop.refers_to("public.complaint"), "rental.rental");
}

TEST(Lifecycle, Move) {
    for (std::string const legacy : {"refuse", "view"}) {
        SCOPED_TRACE(legacy);
        Shop const shop{rental(fmt::format("strategy = \"move\"\nlegacy = \"{}\"\n", legacy))};
        auto const& carving = shop.carving;
        auto session = carving.connect();
        auto const before = test::catalog_text(session);
        test::Writer writer{server(), carving.database(), "rental", rentals()};
        for (std::string const verb : {"split", "cutover", "rollback", "cutover", "complete"}) {
            carving.expect(0, verb + " rental --yes");
            writer.more(3);
            EXPECT_EQ(writer.lost(session, verb == "split" || verb == "rollback" ? "public" : "rental"), 0) << verb;
        }
        if (HasFailure())
            return;
        EXPECT_EQ(carving.value("SELECT coalesce(relkind::text, 'none') FROM (SELECT 1) x LEFT JOIN pg_class ON oid = to_regclass('public.rental')"),
                  legacy == "view" ? "v" : "none");
        EXPECT_EQ(shop.refers_to("public.complaint"), "rental.rental");
        EXPECT_EQ(carving.value("SELECT (SELECT count(*) FROM public.rented) = (SELECT count(*) FROM rental.rental)"), "true");
        shop.expect_retired("rental");
        writer.stop();
        EXPECT_NE(before, test::catalog_text(session));
    }
}

TEST(Lifecycle, TheApplicationWritesBothSides) {
    Shop const shop{rental("dual_write = \"application\"\n")};
    auto const& carving = shop.carving;
    carving.expect(0, "split rental --yes");
    // Until the cutover both sides take writes; the application does so in one transaction.
    carving.sql("INSERT INTO public.rental (film_id, person_id, turn) VALUES (1, 1, -7);"
                "INSERT INTO rental.rental SELECT * FROM public.rental WHERE turn = -7;"
                "UPDATE public.rental SET due = '2030-01-01' WHERE rental_id = 5"); // one side forgotten
    carving.expect(1, "verify rental");
    carving.expect(0, "repair rental --yes");
    carving.expect(0, "verify rental");
    carving.expect(0, "cutover rental --yes");
    test::Writer writer{server(), carving.database(), "rental", rentals()}; // now the mirror writes the old side
    writer.more(10);
    carving.expect(0, "verify rental");
    carving.expect(0, "rollback rental --yes");
    writer.stop();
    carving.expect(0, "cancel rental --yes");
    EXPECT_EQ(carving.value("SELECT to_regnamespace('rental')"), "NULL");
}

} // namespace
