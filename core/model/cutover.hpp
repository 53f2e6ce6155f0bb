// What a cutover or a rollback did.
#pragma once

#include <optional>
#include <string>

#include "model/gate.hpp"

namespace pgcarve::model {

struct CutoverResult {
    std::string verb = "cutover"; // cutover, rollback
    std::string service;
    std::string from; // phases; equal when nothing moved
    std::string to;
    std::optional<double> predicted_write_block_ms;
    std::optional<double> write_block_ms; // measured: how long the application's writes could have waited
    Gate gate;
    bool already = false;              // it had been done before: nothing was left to do
    std::optional<std::string> undone; // why it was taken back; the source stayed the authority
    std::string next;                  // what to type now

    [[nodiscard]] bool moved() const { return !already && !undone && from != to; }
};

} // namespace pgcarve::model
