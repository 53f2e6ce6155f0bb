// What git knows of the files that lint is given.
#pragma once

#include <string>
#include <vector>

namespace pgcarve::cmd {

// For each path, whether it stands on the base branch as it is here: in the commit where HEAD and `ref` parted.
// Runs git in the current folder. Errors (exit 2): "git" when there is no git, no repository, no such ref or no common
// commit, as in a shallow clone; a path outside of the repository.
[[nodiscard]] std::vector<bool> on_git_base(std::string const& ref, std::vector<std::string> const& paths);

} // namespace pgcarve::cmd
