// Progress of long work, on one line of a terminal: how much is done, how fast, and the time left.
//
// Time left:   what is done took so long, and the rest goes on as fast. Runs that have not begun count like the average of
//              those that have.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sim/run/cli_terminal.h"
#include "sim/run/experiment.h"

namespace collapsar {

// For all variants that run.
class ProgressLine {
 public:
  struct Work {
    std::size_t runs = 1;
    const char* unit = "variants";
    std::string label = "";  // stands before
    bool is_bound = false;   // at most so many runs
  };
  // Nothing is printed unless standard error is a terminal and `wanted`.
  ProgressLine(Work work, bool wanted) : work_(std::move(work)), line_(wanted) {}
  // Tells `options` to report here, if it is on. Requires: this outlives the run.
  void watch(RunOptions& options);
  // May be called from several threads.
  void update(const Progress& progress);

 private:
  struct State {
    std::uint64_t references = 0, total = 0, huge_pages = 0;
    Duration simulated{};
    bool finished = false;
  };
  std::string text() const;

  Work work_;
  TerminalLine line_;
  std::mutex mutex_;
  std::map<std::string, State, std::less<>> states_;
  std::size_t ended_ = 0;               // runs whose name another has taken since,
  std::uint64_t ended_references_ = 0;  // and what they did
};

// Counts what is read of a trace.
class TraceProgress {
 public:
  // `doing`: "converted".
  TraceProgress(const char* doing, bool wanted) : doing_(doing), line_(wanted) {}
  // `source` as it is; the line follows what is read of it. `total`: references that will be read, 0 if that is not known.
  std::unique_ptr<TraceSource> watch(std::unique_ptr<TraceSource> source, std::uint64_t total);
  void add(std::uint64_t references);
  void clear() { line_.clear(); }

 private:
  const char* doing_;
  TerminalLine line_;
  std::uint64_t read_ = 0, total_ = 0;
};

// "converted 12.3 M refs  4.1 M/s  25 %  9 s left"
std::string references_done(const char* doing, std::uint64_t done, std::uint64_t total, double seconds);

}  // namespace collapsar
