#include "pgcarve/git.hpp"

#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/error.hpp"
#include "pgcarve/process.hpp"

namespace pgcarve::cmd {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string const& what, std::string const& hint) {
    throw base::Error{base::Exit::usage, "git", what, hint};
}

std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.pop_back();
    return text;
}

std::string git(std::vector<std::string> arguments, std::string const& what, std::string const& hint, std::string const& input = {}) {
    arguments.insert(arguments.begin(), "git");
    auto const result = run_process(arguments, input);
    if (result.exit != 0)
        fail(fmt::format("{}: {}", what, trimmed(result.err)), hint);
    return result.out;
}

// Blob by path, of a whole tree.
std::map<std::string, std::string> blobs(std::string const& commit) {
    std::map<std::string, std::string> out;
    auto const listing = git({"ls-tree", "-r", "-z", "--full-tree", commit}, "git cannot list " + commit, {});
    for (std::size_t at = 0; at < listing.size();) {
        auto const end = std::min(listing.find('\0', at), listing.size());
        auto const line = listing.substr(at, end - at); // mode blob HASH<tab>path
        at = end + 1;
        auto const tab = line.find('\t');
        auto const space = line.rfind(' ', tab);
        if (tab != std::string::npos && space != std::string::npos)
            out[line.substr(tab + 1)] = line.substr(space + 1, tab - space - 1);
    }
    return out;
}

std::string within(fs::path const& top, std::string const& path) {
    auto const relative = fs::weakly_canonical(path).lexically_relative(top).generic_string();
    if (relative.empty() || relative.starts_with(".."))
        fail(fmt::format("{} is not in the repository {}", path, top.string()), "leave it out, or run pgcarve in its repository");
    return relative;
}

} // namespace

std::vector<bool> on_git_base(std::string const& ref, std::vector<std::string> const& paths) {
    if (ref.empty() || ref.front() == '-')
        fail(fmt::format("\"{}\" names no commit", ref), "--git-base origin/main");
    fs::path const top = fs::weakly_canonical(trimmed(git({"rev-parse", "--show-toplevel"}, "this folder is in no git repository", {})));
    auto const base = trimmed(git({"merge-base", ref, "HEAD"}, fmt::format("git knows no commit that HEAD and {} have in common", ref),
                                  "fetch the base branch with its history: git fetch origin main; in CI: fetch-depth: 0"));
    auto const known = blobs(base);
    std::string names;
    for (auto const& path : paths) {
        if (path.find('\n') != std::string::npos)
            fail("a file's name holds a line break", {});
        names += path + "\n";
    }
    auto const hashes = git({"hash-object", "--stdin-paths"}, "git cannot read the files", {}, names);
    std::vector<bool> same;
    std::size_t at = 0;
    for (auto const& path : paths) {
        auto const end = hashes.find('\n', at);
        if (end == std::string::npos)
            base::bug("git hash-object printed too little");
        auto const found = known.find(within(top, path));
        same.push_back(found != known.end() && found->second == hashes.substr(at, end - at));
        at = end + 1;
    }
    return same;
}

} // namespace pgcarve::cmd
