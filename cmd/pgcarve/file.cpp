#include "pgcarve/file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"

namespace pgcarve::cmd {

namespace {

constexpr mode_t everybody_reads = 0644;

class Temporary {
public:
    explicit Temporary(std::string const& path)
        : path_{path}
        , name_{path + ".XXXXXX"} {
        fd_ = mkostemp(name_.data(), O_CLOEXEC);
        if (fd_ < 0)
            fail();
    }
    Temporary(Temporary const&) = delete;
    Temporary& operator=(Temporary const&) = delete;
    ~Temporary() {
        if (fd_ >= 0) {
            close(fd_);
            unlink(name_.c_str());
        }
    }

    void write(std::string_view content) {
        while (!content.empty()) {
            auto const written = ::write(fd_, content.data(), content.size());
            if (written < 0 && errno == EINTR)
                continue;
            if (written < 0)
                fail();
            content.remove_prefix(static_cast<std::size_t>(written));
        }
    }

    void put() {
        if (fchmod(fd_, everybody_reads) != 0 || fsync(fd_) != 0 || std::rename(name_.c_str(), path_.c_str()) != 0)
            fail();
        close(fd_);
        fd_ = -1;
    }

private:
    [[noreturn]] void fail() {
        auto const why = std::string{std::strerror(errno)};
        if (fd_ >= 0) {
            close(fd_);
            unlink(name_.c_str());
            fd_ = -1;
        }
        throw base::Error{base::Exit::usage, "file-unwritable", fmt::format("cannot write {}: {}", path_, why), {}};
    }

    std::string const& path_;
    std::string name_;
    int fd_ = -1;
};

} // namespace

void write_atomically(std::string const& path, std::string_view content) {
    Temporary file{path};
    file.write(content);
    file.put();
}

} // namespace pgcarve::cmd
