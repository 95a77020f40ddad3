// DramConfig: what main memory is made of, and how its controller decides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "models/mem/dram_timing.h"
#include "sim/core/config.h"
#include "sim/core/stats.h"

namespace collapsar {

enum class PagePolicy : std::uint8_t { open, closed, timeout };
template <>
struct EnumNames<PagePolicy> {
  static constexpr std::array<std::pair<std::string_view, PagePolicy>, 3> names{
      {{"open", PagePolicy::open}, {"closed", PagePolicy::closed}, {"timeout", PagePolicy::timeout}}};
};

enum class DramRefresh : std::uint8_t { all_bank, none };
template <>
struct EnumNames<DramRefresh> {
  static constexpr std::array<std::pair<std::string_view, DramRefresh>, 2> names{
      {{"all_bank", DramRefresh::all_bank}, {"none", DramRefresh::none}}};
};

struct DramConfig {
  std::optional<Duration> ideal;       // every request takes this long, no queues; nullopt = the model below
  std::string standard = "DDR4-2666";  // DDR4-2400 DDR4-2666 DDR4-3200 DDR5-4800 DDR5-5600
  DramTimingConfig timing{};
  std::uint32_t channels = 6;
  std::uint32_t ranks = 2;
  std::string mapping = "RoBaRaCoCh";  // see dram_map.h
  PagePolicy page_policy = PagePolicy::open;
  std::uint32_t page_timeout = 200;  // guess
  std::uint32_t queue = 32;          // read buffer of Ramulator 2's and transaction queue of DRAMsim3's controller
  std::uint32_t write_queue = 32;    // write buffer of both
  std::uint32_t write_high = 26;     // 0.8 of the write buffer: Ramulator 2, wr_high_watermark
  std::uint32_t write_low = 6;       // 0.2: wr_low_watermark
  std::uint32_t hit_limit = 4;       // DRAMsim3, command_queue.cc: hits before a waiting conflict gets its bank
  DramRefresh refresh = DramRefresh::all_bank;
  std::uint32_t controller_latency = 3;  // memory-clock cycles through the controller, there and back together
  template <class V>
  void describe(V& v) {
    v("ideal", ideal, "fixed latency of every request; none = queues, banks and rows are modelled");
    v("standard", standard, "DDR4-2400 | DDR4-2666 | DDR4-3200 | DDR5-4800 | DDR5-5600");
    v("timing", timing, "timings in place of those of the standard");
    v("channels", channels, "independent channels");
    v("ranks", ranks, "ranks per channel");
    v("mapping", mapping,
      "address bits from high to low: Ro Ba Ra Co Ch, and Bg apart from Ba, in any order; MOP4CLXOR");
    v("page_policy", page_policy, "open | closed | timeout: how long a row stays open that no request waits for");
    v("page_timeout", page_timeout,
      "memory-clock cycles from the last access to the precharge, with page_policy timeout");
    v("queue", queue, "requests a channel holds that someone waits for; more wait outside");
    v("write_queue", write_queue, "written-back lines a channel holds; more wait outside");
    v("write_high", write_high, "written-back lines at which writing goes before reading");
    v("write_low", write_low, "written-back lines at which reading goes first again");
    v("hit_limit", hit_limit, "younger requests of the open row that may pass the oldest request of the bank");
    v("refresh", refresh, "all_bank = a rank rests for tRFC every tREFI; none = no refresh");
    v("controller_latency", controller_latency, "memory-clock cycles through the controller");
  }
  void validate() const;
  // Requires: the standard is known.
  DramTiming effective_timing() const { return timing.applied_to(*DramTiming::find(standard)); }
};

struct DramStats {
  std::uint64_t reads = 0, writes = 0;                            // 64-byte lines
  std::uint64_t row_hits = 0, row_misses = 0, row_conflicts = 0;  // per request: open row, closed bank, other row open
  std::uint64_t forwarded = 0;                                    // reads answered from a waiting write
  std::uint64_t refreshes = 0;
  std::uint64_t submitted = 0, completed = 0;
  Histogram latency;  // of single-line reads, ns
  template <class V>
  void describe(V& v) {
    v("reads", reads, "lines", "lines read");
    v("writes", writes, "lines", "lines written");
    v("row_hits", row_hits, "requests", "found their row open");
    v("row_misses", row_misses, "requests", "found their bank closed");
    v("row_conflicts", row_conflicts, "requests", "found another row open");
    v("forwarded", forwarded, "requests", "reads answered by a write that was still waiting");
    v("refreshes", refreshes, "commands",
      "refreshes of a rank; those of idle ranks count when the channel is next used");
    v("submitted", submitted, "requests", "handed to the memory controller");
    v("completed", completed, "requests", "answered");
    v("latency", latency, "ns", "of reads of one line, from submit to the last beat of data");
  }
};

}  // namespace collapsar
