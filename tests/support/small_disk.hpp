// A file system of a few megabytes, for a server whose disk is to be full. Where the user may not mount one, mounted() says so.
#pragma once

#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "support/server.hpp"

namespace pgcarve::test {

class SmallDisk {
public:
    explicit SmallDisk(std::string const& size) {
        char name[] = "/tmp/pgcarve-disk-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error{"mkdtemp failed"};
        folder_ = name;
        mounted_ = mount("tmpfs", name, "tmpfs", 0, fmt::format("size={},mode=777", size).c_str()) == 0;
    }
    SmallDisk(SmallDisk const&) = delete;
    SmallDisk& operator=(SmallDisk const&) = delete;
    ~SmallDisk() {
        if (mounted_)
            umount2(folder_.c_str(), MNT_DETACH);
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    [[nodiscard]] std::string const& folder() const { return folder_; }
    [[nodiscard]] bool mounted() const { return mounted_; }
    // Only grows: what the server has written stays.
    [[nodiscard]] bool resize(std::string const& size) const {
        return mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, fmt::format("size={},mode=777", size).c_str()) == 0;
    }
    // Takes all the room that is left, until free().
    void fill() const {
        std::ofstream hog{hog_name(), std::ios::binary};
        std::string const piece(64 * 1024, 'x');
        while (hog.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
        }
    }
    void free() const { std::filesystem::remove(hog_name()); }
    // A folder for a tablespace, which the server may write to.
    [[nodiscard]] std::string tablespace() const {
        auto const inner = folder_ + "/space";
        std::filesystem::create_directory(inner);
        if (run_command(geteuid() == 0 ? "chown postgres " + inner : "true").exit != 0)
            throw std::runtime_error{"chown failed"};
        return inner;
    }

private:
    [[nodiscard]] std::string hog_name() const { return folder_ + "/somebody's"; }

    std::string folder_;
    bool mounted_ = false;
};

} // namespace pgcarve::test
