// Goal: what an incremental verification calls proven is equal, whatever was written, corrupted behind the stream's back and
// killed before: a row that the stream has touched is found at once, any other within a rotation, and nothing else is told.
#include <random>

#include <nlohmann/json.hpp>

#include "scenario/hopping.hpp"

namespace {

using namespace pgcarve;
using nlohmann::json;
using test::Carving;

constexpr int rows = 20'000;         // four shares of 5000
constexpr int rotation = rows / 5'000 + 2;

class Incremental : public testing::TestWithParam<unsigned> {
protected:
    Incremental()
        : own_{test::service_server().create_database()}, carving_{test::shared_server(), test::shared_server().create_database(),
                                                                   fmt::format("[service.shop]\nschema = \"shop\"\ntables = [\"item\"]\nwindow = \"28d\"\n"
                                                                               "[service.shop.database]\ndsn = \"{}\"\nschema = \"store\"\n",
                                                                               test::service_server().dsn(own_))} {
        carving_.sql(fmt::format("CREATE TABLE public.item (id bigint PRIMARY KEY, note text); INSERT INTO public.item SELECT g, md5(g::text) FROM generate_series(1, {}) g;",
                                 rows));
        carving_.expect(0, "init --yes");
        carving_.expect(0, "sync shop --yes --until-caught-up");
        carving_.expect(0, "verify shop");
    }

    int any(int below) { return std::uniform_int_distribution{0, below - 1}(random_); }

    // Runs it after having killed it at any time, or not.
    json persist(int exit, std::string const& arguments) {
        killed_ = false;
        while (any(3) == 0) {
            killed_ = true;
            test::Process process{carving_.command(arguments)};
            std::this_thread::sleep_for(std::chrono::milliseconds{any(1'000)});
            process.signal(SIGKILL);
            (void)process.wait();
            carving_.wait_for_sessions_to_end();
        }
        auto const output = carving_.run(arguments);
        EXPECT_TRUE(output.exit == exit || exit < 0) << arguments << ": " << output.exit << output.out << output.err;
        return arguments.find("json") == std::string::npos ? json{} : json::parse(output.out)["services"][0];
    }
    json incremental(int exit) { return persist(exit, "--format json verify shop --incremental"); }

    static std::set<int> keys(json const& verification) {
        std::set<int> found;
        for (auto const& table : verification["tables"]) {
            for (auto const& sample : table["samples"])
                found.insert(std::stoi(sample["key"]["id"].get<std::string>()));
        }
        return found;
    }

    // At the source; which rows.
    std::set<int> write() {
        std::set<int> written;
        auto session = carving_.connect();
        for (int n = 1 + any(30); n > 0; --n) {
            auto const id = 1 + any(rows);
            if (!written.insert(id).second)
                continue;
            auto const kind = any(3);
            session.run(kind == 0   ? fmt::format("DELETE FROM public.item WHERE id = {}", id)
                        : kind == 1 ? fmt::format("UPDATE public.item SET note = 'note {}' WHERE id = {}", any(1'000'000), id)
                                    : fmt::format("INSERT INTO public.item VALUES ({0}, 'new') ON CONFLICT (id) DO UPDATE SET note = '{1}'", id, any(1'000'000)));
            if (kind == 0 || kind == 1) { // of a row that is not there it is no change
                if (Carving::value(session, fmt::format("SELECT count(*) FROM public.item WHERE id = {}", id)) == "0")
                    written.erase(id);
            }
        }
        return written;
    }
    // By the back door of either side, so that the row surely differs. At the source that is one that the log tells nothing of.
    void corrupt(int id) {
        auto const change = [id](char const* schema, char const* note) {
            return fmt::format("INSERT INTO {0}.item VALUES ({1}, '{2}') ON CONFLICT (id) DO UPDATE SET note = '{2}'", schema, id, note);
        };
        if (any(2) == 0) {
            test::service_server().connect(own_).run("SET pgcarve.mirror = 'on'; " + change("store", "back door"));
            return;
        }
        auto session = carving_.connect();
        session.run("ALTER PUBLICATION pgcarve_shop SET (publish = 'truncate')");
        session.run(change("public", "side door"));
        session.run("ALTER PUBLICATION pgcarve_shop SET (publish = 'insert, update, delete, truncate')");
    }
    void expect_equal(std::set<int> const& ids) {
        if (ids.empty())
            return;
        auto const question = fmt::format("coalesce(string_agg(id || ' ' || note, ',' ORDER BY id), '') FROM {{}}.item WHERE id IN ({})", fmt::join(ids, ", "));
        auto there = test::service_server().connect(own_);
        EXPECT_EQ(carving_.value("SELECT " + fmt::format(fmt::runtime(question), "public")),
                  Carving::value(there, "SELECT " + fmt::format(fmt::runtime(question), "store")));
    }

    std::string own_;
    bool killed_ = false;
    Carving carving_;
    std::mt19937 random_{GetParam()};
};

TEST_P(Incremental, WhatItCallsProvenIsEqual) {
    std::set<int> elsewhere; // corrupted and not told yet
    for (int round = 0; round < 5; ++round) {
        SCOPED_TRACE(round);
        auto const written = write();
        persist(0, "sync shop --yes --until-caught-up");
        std::set<int> touched;
        for (auto const id : written) {
            if (any(10) == 0) {
                corrupt(id);
                touched.insert(id);
            }
        }
        if (any(2) == 0) {
            elsewhere.insert(1 + any(rows));
            corrupt(*elsewhere.rbegin());
        }
        auto const verdict = incremental(-1);
        // One that was killed when it had written down a difference leaves nothing to go on from.
        EXPECT_TRUE(verdict["mode"] == "incremental" || killed_) << verdict["mode"];
        if (verdict["mode"] == "incremental") {
            EXPECT_LT(verdict["rows"].get<int>(), rows / 2);
        }
        auto const told = keys(verdict);
        for (auto const id : touched)
            EXPECT_TRUE(told.contains(id)) << id;
        for (auto const id : told)
            EXPECT_TRUE(touched.contains(id) || elsewhere.contains(id)) << id;
        EXPECT_EQ(verdict["verdict"], told.empty() ? "clean" : "different");
        if (told.empty()) {
            auto sound = written;
            for (auto const id : elsewhere)
                sound.erase(id);
            expect_equal(sound);
            continue;
        }
        carving_.expect(0, "repair shop --yes");
        elsewhere.clear();
        persist(0, "--format json verify shop");
    }
    // The rest comes to light within a rotation.
    if (elsewhere.empty()) {
        elsewhere.insert(1 + any(rows));
        corrupt(*elsewhere.begin());
    }
    int runs = 0;
    for (std::set<int> told; told.empty() && runs < rotation; ++runs) {
        told = keys(incremental(-1));
        for (auto const id : told)
            EXPECT_TRUE(elsewhere.contains(id)) << id;
        if (!told.empty())
            return;
    }
    ADD_FAILURE() << "not found in " << runs << " runs";
}

INSTANTIATE_TEST_SUITE_P(Seeds, Incremental, testing::Values(1U, 2U));

} // namespace
