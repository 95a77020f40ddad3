// DramChannel: one data bus with its ranks and banks.
//
// Models:      rows, the timing gates between commands, the order of service (see dram.h).
// Time:        every command is chosen at the cycle in which it is issued; tick_ is the next such cycle.
// Owns:        bank state and the order of waiting parts; the parts are Dram's.
// Source:      JESD79-4, "Command truth table" and timing diagrams; constants in dram_timing.cc and dram_channel.cc.
//
// Invariants:  1. a bank is in busy_ exactly while it has waiting parts; its step is that of the first of them.
//              2. after work(), no command can go at that cycle, and tick_ is due no later than the next that can.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "models/mem/dram_timing.h"
#include "sim/core/event_queue.h"

namespace collapsar {

class Dram;
struct DramConfig;
struct DramRequest;

// What one request wants from one row of one bank.
struct DramPart {
  DramRequest* request = nullptr;  // nullptr: posted write
  std::uint64_t row = 0, age = 0;
  std::uint32_t bank = 0, lines = 0;
  bool is_write = false;
  DramPart* next = nullptr;
};

class DramChannel {
 public:
  using Cycle = std::int64_t;
  DramChannel(Dram& dram, EventQueue& queue, const DramTiming& timing, const DramConfig& config);

  // Takes `part` in, or lets it wait outside while the queue is full. work() must follow.
  void accept(DramPart& part, Cycle now);
  // Issues all commands that can go at `now`, then sleeps until the next can.
  void work(Cycle now);

 private:
  static constexpr Cycle kNoCycle = std::numeric_limits<Cycle>::max();
  static constexpr Cycle kLongAgo = -1'000'000;
  struct PartList {
    DramPart* head = nullptr;
    DramPart* tail = nullptr;
    void push(DramPart& part);
    DramPart& pop();
  };
  struct Bank {
    enum class Step : std::uint8_t { activate, column };  // what its first part waits for
    PartList waiting;
    std::uint64_t open_row = 0;
    Cycle activate_ready = 0, column_ready = 0,
          precharge_ready = 0;          // earliest cycles, as far as this bank is concerned
    std::uint32_t rank = 0, group = 0;  // group: counted through the channel
    bool is_open = false;
    Step step = Step::activate;
  };
  // Earliest cycles of the next commands to anywhere in a rank or in a bank group.
  struct Gates {
    Cycle activate = 0, read = 0, write = 0;
    Cycle column(bool is_write) const { return is_write ? write : read; }
  };
  struct LastFour {  // activations of a rank
    std::array<Cycle, 4> at{kLongAgo, kLongAgo, kLongAgo, kLongAgo};
    unsigned oldest = 0;
  };
  struct Choice {
    Bank* activate = nullptr;
    Bank* column = nullptr;
    Cycle next = kNoCycle;  // if neither: when to look again
  };

  static bool is_older(const Bank& bank, const Bank* than);
  Choice choose(Cycle now);
  Cycle earliest_activate(const Bank& bank) const;
  Cycle earliest_column(const Bank& bank) const;
  void enter(DramPart& part, Cycle now);
  void begin(Bank& bank, Cycle now);
  void precharge(Bank& bank, Cycle now);
  void activate(Bank& bank, Cycle now);
  void column(Bank& bank, Cycle now);
  void gate_after_read(Bank& bank, Cycle last);
  void gate_after_write(Bank& bank, Cycle last, Cycle data_end);
  void wake_at(Cycle next);
  void tick();

  Dram& dram_;
  EventQueue& queue_;
  const DramTiming& t_;
  const bool is_closed_page_;
  const std::uint32_t queue_limit_;
  std::vector<Bank> banks_;  // rank by rank
  std::vector<Gates> ranks_, groups_;
  std::vector<LastFour> activations_;  // per rank
  std::vector<Bank*> busy_;
  PartList outside_;
  std::uint32_t queued_ = 0;
  Cycle bus_free_ = 0;  // end of the last burst
  std::uint32_t bus_rank_ = 0;
  Event tick_ = event<&DramChannel::tick>(this, "dram.tick", Phase::completion);
};

}  // namespace collapsar
