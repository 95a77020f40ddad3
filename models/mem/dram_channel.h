// DramChannel: one data bus: which request is served next, and by which command.
//
// Models:      two queues: requests that someone waits for, and written-back lines. The first goes first, until the second
//              has `write_high` lines; then lines are written down to `write_low`. They are also written while nobody waits.
//              Within a queue first-ready, first-come-first-served: the command that can go soonest; of these columns
//              before activates and precharges, then the oldest request. A bank serves hits of its open row first, but at
//              most `hit_limit` of them before its oldest request. One command a cycle. A refresh that is due goes before all.
// Simplified:  refreshes are not postponed, and take no slot on the command bus; a bulk part is served in chunks of 16
//              lines, each holding the bus to its end, and where neighbouring lines alternate between bank groups a chunk
//              goes at their pace, one group after the other.
// Time:        parts are announced with the cycle of their arrival, never in the past. Commands have no events: catch_up()
//              works out what the channel did until now, each command at its cycle, with the parts that had arrived by then;
//              at one cycle refresh, arrivals, command. tick_ is due when somebody could first be answered.
// Owns:        the order of waiting parts; the parts are Dram's.
// Source:      Rixner et al., "Memory Access Scheduling", ISCA 2000 (FR-FCFS); write drain as in Ramulator 2.
//
// Invariants:  1. a bank is in busy_[q] exactly while it has waiting parts of queue q.
//              2. `hit` is the oldest waiting part for the open row; nullptr if there is none or the bank is closed.
//              3. `closes_at` is set only while the bank is open and no part waits for its row.
//              4. after catch_up(now), nothing before `now` is left to do; no answer is due before tick_.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "models/mem/dram_gates.h"
#include "sim/core/event_queue.h"

namespace collapsar {

class Dram;
struct DramConfig;
struct DramRequest;

// What one request wants from one row of one bank.
struct DramPart {
  enum class Outcome : std::uint8_t { none, miss, conflict };
  DramRequest* request = nullptr;  // nullptr: posted write
  std::uint64_t row = 0, line = 0;
  std::uint64_t age = 0;     // 0: until it arrives; those of one bulk request are of one age
  std::int64_t arrives = 0;  // cycle
  std::uint32_t bank = 0, lines = 0;
  bool is_write = false;
  Outcome outcome = Outcome::none;
  DramPart* next = nullptr;
  DramPart* previous = nullptr;
};

class DramChannel {
 public:
  using Cycle = DramTiming::Cycle;
  // `number` of `channels`: their refreshes are spread evenly.
  DramChannel(Dram& dram, EventQueue& queue, const DramTiming& timing, const DramConfig& config, std::uint32_t number,
              std::uint32_t channels, bool alternates_groups);

  // `part` will arrive at its cycle, which is not before now.
  void announce(DramPart& part);
  // Does all that was to be done before cycle `now`.
  void catch_up(Cycle now);
  void log_to(std::vector<DramCommandRecord>* log) { gates_.log_to(log); }

 private:
  static constexpr Cycle kNoCycle = std::numeric_limits<Cycle>::max();
  enum QueueName : std::uint8_t { kWaited, kPosted, kQueues };
  enum class Step : std::uint8_t { column, row };
  struct PartList {
    DramPart* head = nullptr;
    DramPart* tail = nullptr;
    void push(DramPart& part) { put_behind(tail, part); }
    void put_behind(DramPart* before, DramPart& part);  // nullptr: as the first
    void take(DramPart& part);
  };
  struct Waiting {
    PartList parts;
    DramPart* hit = nullptr;
  };
  struct Bank {
    std::array<Waiting, kQueues> waiting;
    Cycle closes_at = kNoCycle;
    std::uint32_t number = 0;
    std::uint32_t coming = 0;  // parts announced for it
    std::uint32_t passed = 0;  // parts that went before the oldest of their queue since that became the oldest
  };
  struct Choice {
    Cycle at = kNoCycle;
    Step step = Step::row;
    Bank* bank = nullptr;
    DramPart* part = nullptr;
    // At one cycle columns go before rows, then the oldest. Ages are counts of requests.
    std::uint64_t rank() const { return std::uint64_t(step) << 63 | part->age; }
  };

  static QueueName queue_of(const DramPart& part) { return part.request ? kWaited : kPosted; }
  [[gnu::always_inline]] inline Choice of_bank(Bank& bank) const;
  Cycle answer_after(const Choice& choice) const;
  Cycle earliest_answer(const DramPart& part) const;
  bool has_work() const { return held_[kWaited] + held_[kPosted] > 0; }
  bool starts_to_drain() const { return !is_draining_ && held_[kPosted] >= config_.write_high; }
  void choose_queue(Cycle now);
  void plan(Cycle now);
  void weigh(Bank& bank, QueueName arrived, Cycle now);
  void take_next_announced();
  void accept(DramPart& part, Cycle now);
  void enter(DramPart& part, Cycle now);
  bool forward(DramPart& part, Cycle now);
  void issue(const Choice& choice, Cycle now);
  void issue_row(Bank& bank, DramPart& part, Cycle now);
  void issue_column(Bank& bank, DramPart& part, Cycle now);
  void leave(Bank& bank, DramPart& part, Cycle now);
  void row_unwanted(Bank& bank, Cycle now);
  void find_hits(Bank& bank);
  void settle(Bank& bank, Cycle now);
  void refresh(Cycle now);
  void sleep();
  void wake_at(Cycle answer);
  void tick();

  Dram& dram_;
  EventQueue& queue_;
  const DramTiming& t_;
  const DramConfig& config_;
  const bool alternates_groups_;
  DramGates gates_;
  std::vector<Bank> banks_;
  std::array<std::vector<Bank*>, kQueues> busy_;
  PartList announced_;  // by cycle, then as announced
  std::array<PartList, kQueues> outside_;
  std::array<std::uint32_t, kQueues> held_{};
  QueueName serving_ = kWaited;
  bool is_draining_ = false;
  Cycle command_free_ = 0;          // the command bus
  std::vector<Cycle> refresh_due_;  // by rank
  Cycle next_refresh_ = kNoCycle;   // the first of them
  Choice planned_;                  // the next command
  bool is_planned_ = false;
  Cycle soonest_answer_ = kNoCycle;  // by the plan, if it serves those that wait
  Cycle done_until_ = 0;             // the last cycle at which something was done
  const Cycle column_to_answer_;     // at least
  Cycle tick_at_ = kNoCycle;
  Event tick_ = event<&DramChannel::tick>(this, "dram.tick", Phase::completion);
};

}  // namespace collapsar
