// DramGates: when the ranks and banks of one channel take which command.
//
// Models:      every gate between commands: tRCD, tRP, tRAS, tRC, tCCD_S/L, tRRD_S/L, tFAW, tRTP, tWR, tWTR_S/L, read to
//              write, the data bus with a gap between ranks, and tRFC.
// Simplified:  no power-down; the lines of one chunk of a bulk request hold the data bus until the last.
// Time:        memory-clock cycles; each earliest_...() is the first cycle at which the command is legal.
// Owns:        rows and gates of all banks. Who asks for what, and in which order, is DramChannel's.
// Source:      JESD79-4 and JESD79-5, command truth table and timing diagrams; figures in dram_timing.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "models/mem/dram_timing.h"
#include "sim/core/error.h"

namespace collapsar {

enum class DramCommand : std::uint8_t { activate, precharge, read, write, refresh };

// For tests: a command as it went to the devices. `bank` is of the channel; of a refresh, the first bank of its rank.
struct DramCommandRecord {
  std::int64_t at;
  DramCommand command;
  std::uint32_t bank;
  std::uint64_t row;
};

class DramGates {
 public:
  using Cycle = DramTiming::Cycle;
  static constexpr Cycle kLongAgo = -1'000'000;
  struct Bank {
    bool is_open = false;
    std::uint64_t open_row = 0;
    Cycle activate_ready = 0, column_ready = 0, precharge_ready = 0;  // as far as this bank is concerned
    std::uint32_t rank = 0, group = 0;                                // group: counted through the channel
  };

  DramGates(const DramTiming& timing, std::uint32_t ranks);

  const Bank& bank(std::uint32_t i) const { return banks_[i]; }
  std::uint32_t banks() const { return std::uint32_t(banks_.size()); }
  std::uint32_t banks_of_rank() const { return t_.banks(); }

  Cycle earliest_precharge(const Bank& bank) const { return bank.precharge_ready; }
  Cycle earliest_activate(const Bank& bank) const {
    const Rank& rank = ranks_[bank.rank];
    return std::max(
        {bank.activate_ready, rank.gates.activate, groups_[bank.group].activate, rank.activates[rank.oldest] + t_.faw});
  }
  Cycle earliest_column(const Bank& bank, bool is_write) const {
    const Cycle bus = bus_free_ + (bank.rank == bus_rank_ ? 0 : t_.rtrs) - (is_write ? t_.cwl : t_.cl);
    return std::max(
        {bank.column_ready, bus, ranks_[bank.rank].gates.column(is_write), groups_[bank.group].column(is_write)});
  }

  // Each requires: `at` is not before the earliest_...() of it.
  void precharge(std::uint32_t bank, Cycle at);
  void activate(std::uint32_t bank, std::uint64_t row, Cycle at);
  // `lines` columns of the open row, `spacing` apart. Returns the cycle at which the last data has passed the bus.
  Cycle column(std::uint32_t bank, bool is_write, std::uint32_t lines, Cycle spacing, Cycle at);
  // Refreshes a rank that is asked to at `due`: closes its open rows as soon as they allow, waits, refreshes. All of it
  // is decided at once, since nothing else may go to the rank meanwhile.
  void refresh(std::uint32_t rank, Cycle due);
  // The rank was idle and has refreshed again at `due`.
  void refresh_again(std::uint32_t rank, Cycle due);

  void log_to(std::vector<DramCommandRecord>* log) { log_ = log; }

 private:
  struct Gates {
    Cycle activate = 0, read = 0, write = 0;
    Cycle column(bool is_write) const { return is_write ? write : read; }
    void not_before(bool is_write, Cycle at) { (is_write ? write : read) = std::max(is_write ? write : read, at); }
  };
  struct Rank {
    Gates gates;
    std::array<Cycle, 4> activates{kLongAgo, kLongAgo, kLongAgo, kLongAgo};
    unsigned oldest = 0;
  };
  void gate_after_read(Bank& bank, Cycle last);
  void gate_after_write(Bank& bank, Cycle last, Cycle data_end);
  void log(Cycle at, DramCommand command, std::uint32_t bank, std::uint64_t row) {
    if (log_) [[unlikely]]
      log_->push_back({at, command, bank, row});
  }

  const DramTiming& t_;
  std::vector<Bank> banks_;  // rank by rank
  std::vector<Rank> ranks_;
  std::vector<Gates> groups_;
  Cycle bus_free_ = 0;  // end of the last burst
  std::uint32_t bus_rank_ = 0;
  std::vector<DramCommandRecord>* log_ = nullptr;
};

}  // namespace collapsar
