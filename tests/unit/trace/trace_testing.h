// Helpers of the trace tests: temporary folders, flat views of a source, written files.
#pragma once

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "sim/core/error.h"
#include "sim/trace/trace.h"

namespace collapsar::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "collapsar-trace-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(folder_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string name() const { return folder_.string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

 private:
  std::filesystem::path folder_;
};

// What a source says, without its cuts into runs.
struct FlatTrace {
  struct Reference {
    std::uint32_t pid, tid;
    Record record;
    std::int64_t stamp_ns;
    bool operator==(const Reference&) const = default;
  };
  std::vector<Reference> references;
  std::vector<TraceEvent> events;
  bool operator==(const FlatTrace&) const = default;
};

inline FlatTrace read_flat(TraceSource& source) {
  FlatTrace flat;
  while (const std::optional<TraceItem> item = source.next()) {
    if (const auto* event = std::get_if<TraceEvent>(&*item)) {
      EXPECT_EQ(event->index, flat.references.size());
      flat.events.push_back(*event);
      continue;
    }
    const auto& run = std::get<TraceRun>(*item);
    EXPECT_EQ(run.first_index, flat.references.size());
    EXPECT_FALSE(run.records.empty());
    EXPECT_LE(run.records.size(), 65536u);
    const auto n = static_cast<std::int64_t>(run.records.size());
    for (std::int64_t i = 0; i < n; ++i) {
      flat.references.push_back({run.pid, run.tid, run.records[static_cast<std::size_t>(i)],
                                 run.begin_ns + (run.end_ns - run.begin_ns) * i / n});
    }
  }
  return flat;
}

// What the trace says; reading it again, from the start, gives the same.
inline FlatTrace read_twice(const std::vector<std::string>& files, TraceInfo* info = nullptr) {
  const std::unique_ptr<TraceSource> source = open_trace(files);
  if (info) *info = source->info();
  FlatTrace flat = read_flat(*source);
  source->rewind();
  EXPECT_TRUE(read_flat(*source) == flat);
  EXPECT_EQ(source->info().references, flat.references.size());
  EXPECT_EQ(source->info().events, flat.events.size());
  return flat;
}

inline std::string read_file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& name, const std::string& bytes) {
  std::ofstream out(name, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string zstd(const std::string& bytes) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), 3));
  return frame;
}

// The message of the TraceError that `f` throws; empty if it throws none.
template <class F>
std::string trace_error_of(F f) {
  try {
    f();
  } catch (const TraceError& error) {
    return error.what();
  }
  return {};
}

inline TraceEvent make_event(TraceEvent::Op op, std::uint64_t address = 0, std::uint64_t length = 0) {
  TraceEvent e;
  e.op = op, e.pid = 1, e.tid = 1, e.address = address, e.length = length;
  return e;
}

inline TraceRun make_run(const std::vector<Record>& records, std::uint32_t pid = 1, std::uint32_t tid = 1) {
  TraceRun run;
  run.pid = pid, run.tid = tid, run.records = records;
  return run;
}

inline Record load(std::uint64_t va, std::uint16_t size = 8) { return {va, 1, size, RefKind::load, 0}; }

}  // namespace collapsar::testing
