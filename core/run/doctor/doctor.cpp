#include "run/doctor/doctor.hpp"

#include <array>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "run/crossings.hpp"
#include "run/doctor/parts.hpp"

namespace pgcarve::run {

using model::DoctorLevel;

namespace doctor {

void Examination::add(model::DoctorFinding finding) {
    for (auto& statement : finding.sql) {
        if (!statement.ends_with(';'))
            statement += ';';
    }
    report.findings.push_back(std::move(finding));
}

void Examination::check(std::string const& id, std::string const& object, std::string const& fine,
                        std::function<void()> const& look) {
    context.interrupt.check();
    auto const before = report.findings.size();
    look();
    if (report.findings.size() == before)
        add({.level = DoctorLevel::fine, .id = id, .object = object, .message = fine});
}

std::string listed(std::vector<std::string> const& names, std::size_t most) {
    std::string out;
    for (std::size_t i = 0; i < names.size() && i < most; ++i)
        out += (i == 0 ? "" : ", ") + names[i];
    return names.size() > most ? fmt::format("{} and {} more", out, names.size() - most) : out;
}

std::vector<std::string> oid_texts(std::vector<model::Table const*> const& tables) {
    std::vector<std::string> oids;
    for (auto const* const table : tables)
        oids.push_back(std::to_string(table->oid.value));
    return oids;
}

std::string bytes_text(std::int64_t bytes) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", value, unit == 0 || value >= 100 ? 0 : 1, units[unit]);
}

namespace {

constexpr int oldest_version = 130000;
constexpr int newest_version = 189999;

// False: nothing more can be looked at.
bool version_fits(pg::Session& session, model::DoctorReport& report) {
    auto const version = session.server_version();
    bool const fits = version >= oldest_version && version <= newest_version;
    report.findings.push_back({.level = fits ? DoctorLevel::fine : DoctorLevel::problem,
                               .id = "server-version",
                               .object = session.describe(),
                               .message = fits ? "the server's version is supported" : "pgcarve does not know this server's version",
                               .observed = fmt::format("{}.{}", version / 10000, version % 10000),
                               .wanted = "13 to 18"});
    return fits;
}

Case case_of(Examination const& exam, model::Service const& service) {
    Case one{.service = &service, .state = std::nullopt, .roots = {}, .tables = {}};
    auto const at = exam.ownership.roots.find(service.name);
    if (at == exam.ownership.roots.end())
        return one;
    for (auto const& name : at->second) {
        auto const* const root = exam.catalog.find(name);
        if (root == nullptr)
            continue;
        one.roots.push_back(root);
        one.tables.push_back(root);
        for (auto const* const partition : exam.catalog.partitions(*root))
            one.tables.push_back(partition);
    }
    return one;
}

} // namespace

} // namespace doctor

model::DoctorReport examine(Context& context, std::optional<std::string> const& service) {
    std::vector<model::Service const*> asked;
    if (service) {
        asked.push_back(&context.service(*service));
    } else {
        for (auto const& [name, one] : context.map.services)
            asked.push_back(&one);
    }
    pg::Session session{context.shared("doctor")};
    model::DoctorReport report;
    if (!doctor::version_fits(session, report))
        return report;
    doctor::Examination exam{.context = context,
                             .session = session,
                             .catalog = catalog::read_catalog(session),
                             .ownership = {},
                             .cases = {},
                             .report = std::move(report)};
    exam.ownership = plan::resolve(context.map, exam.catalog, severed_keys(session));
    for (auto const* const one : asked)
        exam.cases.push_back(doctor::case_of(exam, *one));
    doctor::check_control(exam);
    doctor::check_server(exam);
    doctor::check_boundary(exam);
    doctor::check_rights(exam);
    for (auto& one : exam.cases) {
        doctor::check_progress(exam, one);
        doctor::check_tables(exam, one);
        doctor::check_service_role(exam, one);
        doctor::check_activity(exam, one);
        doctor::check_streams(exam, one);
    }
    return std::move(exam.report);
}

base::Exit exit_of(model::DoctorReport const& report) {
    switch (report.worst()) {
    case DoctorLevel::decision:
        return base::Exit::needs_decision;
    case DoctorLevel::problem:
        return base::Exit::findings;
    case DoctorLevel::advice:
    case DoctorLevel::fine:
        break;
    }
    return base::Exit::done;
}

} // namespace pgcarve::run
