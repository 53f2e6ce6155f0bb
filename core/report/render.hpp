// Results as a person reads them and as a program does.
//
// text(): aligned tables for a terminal, coloured only when asked for, with what to type next
// at the end; ends with a newline. json(): one document with schema_version 1 whose pinned
// fields never change their meaning; ends with a newline.
//
// Pure. No row values are shown unless the finding carries them.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/cutover.hpp"
#include "model/doctor.hpp"
#include "model/gate.hpp"
#include "model/plan.hpp"
#include "model/status.hpp"
#include "model/verification.hpp"

namespace pgcarve::report {

struct Style {
    bool colour = false;
    int width = 100; // columns of the terminal; 0: do not cut anything
};

enum class PlanDetail {
    steps, // what is done, with locks and reasons
    sql,   // every statement too
};

[[nodiscard]] std::string text(model::Plan const& plan, Style style, PlanDetail detail = PlanDetail::sql);
[[nodiscard]] std::string json(model::Plan const& plan);

[[nodiscard]] std::string text(std::vector<model::Verification> const& services, Style style);
[[nodiscard]] std::string json(std::vector<model::Verification> const& services);

// One service: everything; several: a table.
[[nodiscard]] std::string text(std::vector<model::ServiceStatus> const& services, Style style);
[[nodiscard]] std::string json(std::vector<model::ServiceStatus> const& services);

[[nodiscard]] std::string text(model::CutoverResult const& result, Style style);
[[nodiscard]] std::string json(model::CutoverResult const& result);

[[nodiscard]] std::string text(model::Gate const& gate, Style style);
[[nodiscard]] std::string json(model::Gate const& gate);

[[nodiscard]] std::string text(model::DoctorReport const& report, Style style);
[[nodiscard]] std::string json(model::DoctorReport const& report);

// error CODE: message / indented details / hint.
[[nodiscard]] std::string text(base::Error const& error, Style style);
[[nodiscard]] std::string json(base::Error const& error);

} // namespace pgcarve::report
