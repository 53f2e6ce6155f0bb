// Goal: a night's verdict reaches cron, CI and monitoring as it is: equal, different, or not proven, and never an old one for a
// new one. Method: the script and the verbs run against a real server; files and the HTTP answer are read as others would.
#include <gtest/gtest.h>

#include <array>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "carving.hpp"

namespace {

using namespace pgcarve;
using test::Carving;

test::Server& server() {
    static test::Server one;
    return one;
}

constexpr char const* services = "[service.shop]\nschema = \"shop\"\ntables = [\"orders\"]\n";

std::string read(std::filesystem::path const& path) {
    std::ifstream in{path};
    return {std::istreambuf_iterator<char>{in}, {}};
}

class NightlyTest : public testing::Test {
protected:
    NightlyTest() : carving_{server(), server().create_database(), services} {
        char name[] = "/tmp/pgcarve-nightly-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        out_ = name;
        carving_.sql("CREATE TABLE public.orders (id bigint PRIMARY KEY, total numeric); INSERT INTO public.orders SELECT g, g FROM generate_series(1, 50) g");
        carving_.expect(0, "init --yes");
    }
    ~NightlyTest() override {
        std::error_code ignored;
        std::filesystem::remove_all(out_, ignored);
    }

    [[nodiscard]] std::string config() const {
        auto const command = carving_.command("");
        auto const from = command.find("--config ") + 9;
        return command.substr(from, command.find(' ', from) - from);
    }
    [[nodiscard]] std::string script(std::string const& more = {}) const {
        return fmt::format("{}/scripts/nightly --pgcarve {} --config {} --out {} --textfile {}/pgcarve.prom {}", PGCARVE_SOURCE_DIR, PGCARVE_BINARY, config(),
                           out_.string(), out_.string(), more);
    }
    test::Output night(int exit, std::string const& more = {}) const {
        auto output = test::run_command(script(more));
        EXPECT_EQ(output.exit, exit) << output.out << output.err;
        return output;
    }

    Carving carving_;
    std::filesystem::path out_;
};

TEST_F(NightlyTest, TellsHowTheNightWent) {
    night(0); // nothing is on two sides
    carving_.expect(0, "split shop --yes");
    night(0);
    EXPECT_NE(read(out_ / "verify.xml").find("failures=\"0\" errors=\"0\""), std::string::npos);
    EXPECT_NE(read(out_ / "verify.md").find("1 clean"), std::string::npos);
    EXPECT_NE(read(out_ / "verify.json").find("\"clean\""), std::string::npos);
    EXPECT_NE(read(out_ / "pgcarve.prom").find("pgcarve_verification_verdict{service=\"shop\",verdict=\"clean\"} 1"), std::string::npos);
    struct stat mode {};
    ASSERT_EQ(stat((out_ / "pgcarve.prom").c_str(), &mode), 0);
    EXPECT_EQ(mode.st_mode & 0777U, 0644U);

    carving_.sql("SET session_replication_role = replica; UPDATE shop.orders SET total = 0 WHERE id = 7; DELETE FROM shop.orders WHERE id = 8");
    night(1);
    EXPECT_NE(read(out_ / "verify.xml").find("failures=\"1\""), std::string::npos);
    EXPECT_NE(read(out_ / "verify.md").find("different id=7: total"), std::string::npos) << read(out_ / "verify.md");
    EXPECT_NE(read(out_ / "pgcarve.prom").find("kind=\"missing\"} 1"), std::string::npos);

    // What cannot finish is not clean, and what the night before left is gone.
    carving_.expect(0, "repair shop --yes");
    carving_.sql("UPDATE pgcarve.service SET phase = 'backfilling'");
    night(3);
    EXPECT_NE(read(out_ / "verify.xml").find("<error type=\"incomplete\""), std::string::npos);
    EXPECT_NE(read(out_ / "pgcarve.prom").find("verdict=\"incomplete\"} 1"), std::string::npos);
    for (auto const& entry : std::filesystem::directory_iterator{out_})
        EXPECT_EQ(entry.path().filename().string().find(".prom."), std::string::npos) << "a temporary file stayed";
}

TEST_F(NightlyTest, OneAtATime) {
    int const held = open(config().c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(flock(held, LOCK_EX | LOCK_NB), 0);
    EXPECT_NE(night(3).err.find("still runs"), std::string::npos);
    close(held);
    night(0);
}

TEST_F(NightlyTest, AServerThatIsAway) {
    carving_.expect(0, "split shop --yes");
    night(0);
    std::ofstream{config()} << "[shared]\ndsn = \"host=/nowhere\"\n" << services;
    night(4);
    EXPECT_NE(read(out_ / "verify.xml").find("errors=\"1\""), std::string::npos);
    EXPECT_NE(read(out_ / "verify.md").find("not proven"), std::string::npos);
    auto const file = (out_ / "metrics.prom").string();
    auto const gone = test::run_command(fmt::format("{} --config {} metrics --textfile {}", PGCARVE_BINARY, config(), file));
    EXPECT_EQ(gone.exit, 4) << gone.err;
    EXPECT_NE(read(file).find("pgcarve_up 0"), std::string::npos);
    EXPECT_EQ(test::run_command(fmt::format("{} --config {} metrics --textfile /nowhere/x", PGCARVE_BINARY, config())).exit, 2);
}

TEST_F(NightlyTest, UsageAndWhatItPrints) {
    EXPECT_EQ(test::run_command(std::string{PGCARVE_SOURCE_DIR} + "/scripts/nightly --nope").exit, 2);
    EXPECT_EQ(test::run_command(std::string{PGCARVE_SOURCE_DIR} + "/scripts/nightly --config /nowhere --pgcarve " + PGCARVE_BINARY).exit, 2);
    for (std::string const what : {"systemd-service", "systemd-timer", "cron", "kubernetes"})
        EXPECT_NE(test::run_command(fmt::format("{}/scripts/nightly --print {}", PGCARVE_SOURCE_DIR, what)).out.find("pgcarve"), std::string::npos) << what;
}

TEST_F(NightlyTest, HistoryIsPrunedButForWhatTheGateNeeds) {
    carving_.expect(0, "split shop --yes");
    carving_.sql("UPDATE pgcarve.service SET window_started_at = now() - interval '2 years'");
    carving_.sql("INSERT INTO pgcarve.verification (service, mode, whole, verdict, authority, signature, finished_at, seconds, row_count, differences, tables)"
                 " SELECT 'shop', 'full', true, CASE WHEN g IN (300, 350) THEN 'different' ELSE 'clean' END, 'shared', 'x', now() - make_interval(days => 500 - g), 1, 50,"
                 " CASE WHEN g IN (300, 350) THEN 1 ELSE 0 END, '[]' FROM generate_series(1, 360) g");
    carving_.expect(0, "verify --all");
    // Older than 180 days are all up to the 320th; of these only the last that differed would be kept, and it is younger.
    EXPECT_EQ(carving_.value("SELECT count(*) FROM pgcarve.verification"), "41");
    carving_.expect(0, "verify --all --keep-history 1d");
    // The last that differed, and the two newest: one that the gate counts and one more.
    EXPECT_EQ(carving_.value("SELECT string_agg(verdict, ' ' ORDER BY id) FROM pgcarve.verification"), "different clean clean");
    EXPECT_EQ(carving_.value("SELECT (now() - finished_at > interval '149 days')::text FROM pgcarve.verification ORDER BY id LIMIT 1"), "true");
    carving_.refuses(2, "verify --all --output nonsense", {"--output"});
}

std::string scrape(int port, std::string const& request) {
    int const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return "no connection";
    EXPECT_GT(send(fd, request.data(), request.size(), MSG_NOSIGNAL), 0);
    std::string answer;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
        answer.append(buffer.data(), static_cast<std::size_t>(got));
    close(fd);
    return answer;
}

TEST_F(NightlyTest, MetricsAreServed) {
    carving_.expect(0, "split shop --yes");
    carving_.expect(0, "verify shop");
    EXPECT_NE(carving_.expect(0, "metrics").out.find("pgcarve_phase{service=\"shop\",phase=\"dual_writing\"} 1"), std::string::npos);
    test::Process exporter{carving_.command("metrics --listen 127.0.0.1:0")};
    std::string said;
    ASSERT_TRUE(test::wait_until([&] {
        said = exporter.text("err");
        return said.find("/metrics\n") != std::string::npos;
    }));
    auto const at = said.find("at port ") + 8;
    int const port = std::stoi(said.substr(at));
    auto const answer = scrape(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    for (auto const* const line : {"pgcarve_up 1\n", "pgcarve_last_verification_verdict{service=\"shop\",verdict=\"clean\"} 1\n", "pgcarve_last_verification_rows{service=\"shop\"} 50\n",
                                   "pgcarve_findings{service=\"shop\"} 0\n", "pgcarve_gate_open{service=\"shop\"} 1\n"})
        EXPECT_NE(answer.find(line), std::string::npos) << line << answer;
    EXPECT_TRUE(scrape(port, "GET /nothing HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    EXPECT_TRUE(scrape(port, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    EXPECT_EQ(scrape(port, std::string(100'000, 'x')).find("HTTP/1.1 200"), std::string::npos);
    EXPECT_TRUE(scrape(port, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n")) << "it still serves";
    carving_.refuses(2, "metrics --listen nonsense", {"no address"});
    carving_.refuses(2, fmt::format("metrics --listen 127.0.0.1:{}", port), {"cannot listen"});
    exporter.signal(SIGTERM);
    EXPECT_EQ(exporter.wait().exit, 0);
}

} // namespace
