#include "sim/trace/trace_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "sim/core/error.h"

namespace collapsar {

OutputFile::OutputFile(const std::string& name) : name_(name), temporary_(fmt::format("{}.{}.tmp", name, ::getpid())) {
  const std::string folder = std::filesystem::path(name).parent_path();
  descriptor_ = ::open(folder.empty() ? "." : folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  if (descriptor_ >= 0 && ::access(own_path().c_str(), F_OK) != 0) ::close(std::exchange(descriptor_, -1));  // no /proc
  has_name_ = descriptor_ < 0;
  if (has_name_) descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(0);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (has_name_ && !is_committed_) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::uint8_t> bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(size_ + done);
    done += static_cast<std::size_t>(n);
  }
  size_ += bytes.size();
}

std::string OutputFile::own_path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

// open(2), O_TMPFILE: how a file that has no name gets one.
bool OutputFile::give_name() {
  ::unlink(temporary_.c_str());
  has_name_ = ::linkat(AT_FDCWD, own_path().c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) == 0;
  return has_name_;
}

void OutputFile::commit() {
  if (!has_name_ && !give_name()) fail(size_);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 || std::rename(temporary_.c_str(), name_.c_str()) != 0) fail(size_);
  is_committed_ = true;
}

void OutputFile::fail(std::uint64_t offset) {
  const int error = errno;
  throw TraceError(fmt::format("{}: cannot be written at byte offset {}: {}", name_, offset, std::strerror(error)));
}

}  // namespace collapsar
