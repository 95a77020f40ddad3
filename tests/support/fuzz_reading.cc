#include "tests/support/fuzz_reading.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

namespace collapsar::testing {

MemoryFile::MemoryFile(std::span<const std::uint8_t> bytes) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (n <= 0) throw std::runtime_error("a file in memory cannot be written");
    done += static_cast<std::size_t>(n);
  }
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

std::string MemoryFile::name() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

void read_trace(TraceSource& source) {
  constexpr std::uint64_t kEnough = 1'000'000;
  for (int pass = 0; pass < 2; ++pass) {
    std::uint64_t references = 0, events = 0;
    bool has_all = true;
    while (const std::optional<TraceItem> item = source.next()) {
      if (const auto* run = std::get_if<TraceRun>(&*item)) references += run->records.size();
      else ++events;
      if (references + events > kEnough) {
        has_all = false;
        break;
      }
    }
    if (has_all && (references != source.info().references || events != source.info().events))
      throw std::runtime_error("a trace holds other counts than it says");
    source.rewind();
  }
}

}  // namespace collapsar::testing
