// Streams of the capture tool, cut and mixed as the kernel may deliver them.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "sim/trace/trace_capture.h"
#include "sim/trace/trace_readers.h"
#include "tests/support/fuzz_reading.h"

namespace collapsar::testing {

namespace {

using Bytes = std::span<const std::uint8_t>;

// A name for the trace; no file is left behind.
struct Product {
  std::string name =
      (std::filesystem::temp_directory_path() / fmt::format("collapsar-fuzz.{}.ctr", ::getpid())).string();
  ~Product() { ::unlink(name.c_str()); }
};

// Two words may stand for 2 GiB that the kernel accesses: a million references are enough.
CaptureOptions options_of(std::uint8_t bits) {
  CaptureOptions options;
  options.fetches = static_cast<CaptureFetches>(bits & 3);
  options.children = bits & 4;
  options.skip = bits & 8 ? 3 : 0;
  options.limit = bits & 16 ? 5 : 1'000'000;
  return options;
}

void feed(CaptureRecorder& recorder, Bytes left) {
  std::map<std::uint8_t, CaptureRecorder::Stream*> streams;
  while (left.size() >= 2) {
    const std::uint8_t number = left[0];
    const std::size_t size = std::min<std::size_t>(8 * std::size_t{left[1]}, left.size() - 2);
    CaptureRecorder::Stream*& stream = streams[number];
    if (!stream) stream = &recorder.open();
    if (size > 0 && !stream->is_waiting) recorder.put(*stream, left.subspan(2, size));
    if (size == 0) recorder.close(*stream), streams.erase(number);
    left = left.subspan(2 + size);
  }
  for (const auto& [number, stream] : streams) recorder.close(*stream);
}

}  // namespace

void fuzz_capture(Bytes bytes) {
  if (bytes.empty()) return;
  const Product product;
  bool is_recorded = false;
  refuse_or_read([&] {
    CaptureRecorder recorder(product.name, TraceInfo{}, options_of(bytes[0]));
    feed(recorder, bytes.subspan(1));
    recorder.finish();
    is_recorded = true;
  });
  if (!is_recorded) return;
  try {
    read_trace(*open_ctr(product.name));
  } catch (const std::invalid_argument& e) {
    throw std::runtime_error(fmt::format("what was recorded cannot be read: {}", e.what()));
  }
}

}  // namespace collapsar::testing
