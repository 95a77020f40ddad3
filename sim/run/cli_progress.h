// ProgressLine: one line on a terminal, rewritten in place, for all variants that run.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "sim/run/experiment.h"

namespace collapsar {

class ProgressLine {
 public:
  // `variants`: how many will run. Nothing is printed unless standard error is a terminal and `wanted`.
  ProgressLine(std::size_t variants, bool wanted);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();  // takes the line away

  bool is_on() const { return is_on_; }
  // May be called from several threads.
  void update(const Progress& progress);

 private:
  using Clock = std::chrono::steady_clock;
  struct State {
    std::uint64_t references = 0, total = 0, huge_pages = 0;
    Duration simulated{};
    bool finished = false;
  };
  std::string line(double seconds) const;

  std::size_t variants_;
  bool is_on_;
  std::mutex mutex_;
  std::map<std::string, State, std::less<>> states_;
  Clock::time_point start_ = Clock::now(), shown_{};
};

}  // namespace collapsar
