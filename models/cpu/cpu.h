// Cpu: runs the references of one thread at a time: window, outstanding misses, faults.
//
// Models:      hits at cycles_per_instruction; up to `outstanding` misses overlap, and none is passed by more than
//              `window` instructions; a reference whose address depends on the load before waits for it; nothing passes
//              a fetch that misses; a fault closes the window: older references finish first, younger ones have not
//              started. A store stays in the window until it is translated, then waits for its line in the store buffer
//              and nothing waits for it; a store that does not simply hit waits while the buffer is full.
// Simplified:  no branch prediction, no prefetchers; stores that hit pass older ones that wait for their line, and take
//              no room in the store buffer; stores have as many fill buffers as loads, and for themselves; a load from
//              a line that a waiting store has written waits for the line, too; the store buffer drains before a fault
//              and before a thread leaves; the lines of one long reference that are in no cache are fetched one after
//              the other; a line is looked for when
//              its translation starts in the second-level TLB, not when that is done; a fault that a walk finds only
//              because the page table changed under it lets younger references that had started finish; with
//              `time.scale` and pace model the idle time comes in portions, one for each 10 us of running, so that
//              misses overlap as they do without it; a thread that waits for its pace keeps its CPU until its slice
//              ends.
// Time:        positions in 1/1024 cycle from time 0; events at the ticks they round to.
// Owns:        its slots. The thread's position (Work) belongs to the scheduler while it does not run.
// Source:      design, section 5; interval view of an out-of-order core: Eyerman et al., "A Mechanistic Performance
//              Model for Superscalar Out-of-Order Processors", ACM TOCS 2009.
//
// Hot path: run_hits(). For each record that hits two compares with what is due next, one TLB look-up, one cache
// look-up; no call through a pointer, no allocation.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "models/cpu/cpu_config.h"
#include "models/cpu/miss_list.h"
#include "models/cpu/work.h"
#include "models/mem/cache.h"
#include "models/mmu/mmu.h"
#include "models/mmu/shootdown.h"
#include "sim/trace/trace.h"

namespace collapsar {

class Cpu;

// What a CPU asks of the scheduler. The clock stands at the CPU's position.
class CpuClient {
 public:
  virtual ~CpuClient() = default;
  // The records are used up. True: cpu.work() has more of the same thread. False: the CPU finishes what is under way
  // and then calls drained().
  virtual bool more(Cpu& cpu) = 0;
  virtual void drained(Cpu& cpu) = 0;
  // The thread takes a page fault; nothing is under way. Later cpu.fault_done() or, on another CPU, begin() with the
  // same Work.
  virtual void fault(Cpu& cpu, VirtAddr va, Access access) = 0;
};

struct CpuStats {
  std::array<std::uint64_t, 6> refs_by{};  // by RefKind
  std::uint64_t instructions = 0;
  std::int64_t busy_subcycles = 0;
  std::uint64_t refs() const {
    std::uint64_t n = 0;
    for (const std::uint64_t r : refs_by) n += r;
    return n;
  }
};

class Cpu : public InterruptSink {
 public:
  Cpu(EventQueue& queue, const CpuConfig& config, const TimeConfig& time, CpuId id, Mmu& mmu, CacheHierarchy* caches,
      Clock clock, CpuClient& client);
  ~Cpu() override;

  // Runs a thread from now on; `work` is the CPU's to use until end().
  void begin(Work& work, AddressSpaceRoot space);
  // The thread leaves the CPU. Requires: nothing is under way (drained() or fault() has been called).
  void end();
  // Goes on with the same thread after drained().
  void resume();
  // The address space of the running thread was replaced (exec). Requires: drained.
  void change_space(AddressSpaceRoot space) { mmu_.set_space(space); }
  // Asks the CPU to come to drained(), after the reference it is waiting for.
  void request_stop();
  // The kernel has answered fault(); the thread is still here, and the answer in its Work (Work::settle_fault).
  void fault_done() { resume(); }

  bool has_thread() const { return work_ != nullptr; }
  Work& work() { return *work_; }
  CpuId id() const { return id_; }
  Mmu& mmu() { return mmu_; }
  bool runs(Asid asid) const override { return work_ && mmu_.space().asid == asid; }
  void take_time(Duration lost) override { stolen_ += work_ ? lost : Duration{}; }
  // With pace timestamps: the moment of a stamp of the trace; else time 0.
  Time moment_of(std::int64_t stamp_ns) const;
  // What the running thread has been busy so far is included.
  CpuStats stats() const;

 private:
  struct Slot;
  using Misses = MissList<Slot>;
  using Miss = Misses::Miss;
  static constexpr std::int64_t kUnknown = kUnknownEnd;
  // Why the loop over references ends: `again`: something else comes first; `waits`: the CPU has arranged to come back.
  enum class Stop : std::uint8_t { not_due, stalled, again, waits, used_up };
  enum class L1Look : std::uint8_t { none, missed, translated };
  enum class Style : std::uint8_t { plain, portions, paced };

  // cpu.cc: the loop, and references that hit
  void step();
  void run();
  void give_stolen_time();
  Stop run_references();
  template <bool kCaches>
  [[gnu::always_inline]] inline bool hits(const Record& r, std::int64_t start);
  template <bool kCaches, Style kStyle>
  [[gnu::always_inline]] inline Stop run_hits(std::int64_t& start);
  std::int64_t start_of_last_load(const Record* end, std::int64_t at) const;
  template <bool kCaches, Style kStyle>
  Stop run_references_as();
  void wait_for_next();
  bool relieve_stall();
  bool next_run();
  // Brings the clock to the CPU's position. False: others are due first; the CPU comes back then.
  bool arrive() {
    at_ = here();
    const Time moment = clock_.time_of(at_);
    if (moment > queue_.now() && !queue_.try_advance(moment)) [[unlikely]]
      return come_back(moment), false;
    return come_to(at_), true;
  }
  void come_back(Time moment);
  // The last position that may run inline: before the next event. With one event per step, or when asked to stop, nothing
  // but what is due now: what the stream has already waited for.
  std::int64_t horizon() {
    if (stop_requested_) return due_;
    const Time last = queue_.inline_until();
    if (last < queue_.now()) return due_;
    if (last != horizon_time_) set_horizon(last);
    return std::max(horizon_, due_);
  }
  void set_horizon(Time last);
  std::int64_t now_subcycles() const { return clock_.first_not_before(queue_.now()); }
  std::int64_t here() const { return std::max(at_, floor_); }
  // The stream goes on inline at this position, as a step scheduled for it would.
  void come_to(std::int64_t position) { at_ = position, due_ = std::max(due_, position); }

  // Of the record whose page-table entry the host fetches while `r` of work_ walks.
  VirtAddr ahead_of(const Record& r) const {
    constexpr std::ptrdiff_t kTableAhead = 4;  // ours: 2, 4 and 8 do equally well (tests/bench/README.md)
    return {(work_->end - &r > kTableAhead ? &r + kTableAhead : &r)->va};
  }

  // cpu_pace.cc: idle time between references
  void plan_pace();
  std::int64_t paced_start(const Record* p) const {
    return std::int64_t(pace_base_ + pace_step_ * double(p - work_->begin) + 0.5);
  }
  std::int64_t ready_at(const Record& r) const { return std::max(at_ + std::int64_t(r.instructions) * cpi_, floor_); }
  std::int64_t start_of(const Record* p, std::int64_t ready) const {
    return style_ == Style::paced ? std::max(ready, paced_start(p)) : ready;
  }
  std::int64_t quiet_from() const;
  std::int64_t idle_in_wait(std::int64_t until) const;
  std::int64_t idle_owed() const;
  void take_idle_portion();

  // cpu_store.cc: stores that wait for their line
  // With one miss at a time nothing overlaps, stores neither; without caches every line is there.
  bool has_store_buffer() const { return config_.outstanding > 1 && caches_; }
  void build_store_buffer();
  // Loads that store to the same place need their data: they stay in the window.
  bool is_buffered(RefKind kind) const {
    return !stores_.empty() && (kind == RefKind::store || kind == RefKind::kernel_write);
  }
  bool has_store_room() const;
  bool take_fill_buffer(Slot& slot);
  void release_fill_buffer(Slot& slot);

  // cpu_miss.cc: references that do not simply hit
  bool issue_reference();
  bool issue_started(const Record& r);
  bool issue_known(const Record& r);
  Piece piece_of(const Record& r) const;
  std::uint64_t load_of(RefKind kind) const { return reads_data(kind) ? work_->loads : 0; }
  bool depends(const Record& r) const { return (r.flags & dependence_mask_) | dependence_always_; }
  bool start_reference(const Record& r);
  void count_start(const Record& r, std::int64_t start);
  std::int64_t last_load_known_at() const;
  void issue_piece(Piece& piece);
  void translate_in_l2(Piece& piece);
  void look_ahead(VirtAddr now);
  void begin_walk(const Piece& piece, std::int64_t at);
  void walk_fixed(const Piece& piece, std::int64_t at);
  Slot& start_walk(const Piece& piece, std::int64_t at);
  void walked(Slot& slot);
  void access(const Piece& piece, Slot* slot, PhysAddr pa, std::int64_t at);
  void access_lines(Slot* slot, const Piece& piece, PhysAddr line, PhysAddr end, std::int64_t at);
  void send_to_memory(Slot& miss, PhysAddr line, PhysAddr end, std::int64_t at);
  void memory_due(Slot& slot);
  void fetch_line(Slot& slot);
  void line_arrived(Slot& slot);
  void completed(Slot* slot, const Piece& piece, std::int64_t at);

  // cpu_replay.cc: pieces that fault
  void to_replay(const Piece& piece, bool needs_fault);
  bool settle_replay();

  // cpu_wait.cc: the misses under way, and waiting for them and for others
  bool has_room_for(RefKind kind) const {
    return active_.size() < config_.outstanding && (!is_buffered(kind) || has_store_room());
  }
  void add_known_miss(RefKind kind, std::uint64_t instruction, std::uint64_t load, std::int64_t done_at);
  Slot& take_slot(const Piece& piece);
  Slot& take_data_slot(const Piece& piece);
  Misses& list_of(const Miss& miss) { return miss.is_buffered ? waiting_stores_ : active_; }
  void release(Slot& slot);
  void end_is_known(Slot& slot, std::int64_t at);
  void finish(Slot& slot, std::int64_t at);
  void finished(const Miss& miss);
  void update_stall();
  bool is_quiet() const { return active_.empty() && waiting_stores_.empty(); }
  void take_done();
  bool wait();
  void unblock();
  void end_of_wait(std::int64_t since, std::int64_t until);
  bool settle_drain();

  EventQueue& queue_;
  const CpuConfig& config_;
  const TimeConfig& time_;
  CpuId id_;
  Mmu& mmu_;
  CacheHierarchy* caches_;
  Clock clock_;
  CpuClient& client_;
  Event step_ = event<&Cpu::step>(this, "cpu.step", Phase::cpu);

  // The instruction stream.
  Work* work_ = nullptr;
  std::int64_t at_ = 0;     // where the last reference started
  std::int64_t floor_ = 0;  // what the stream has waited for: nothing starts before
  std::int64_t due_ = -1;   // the running step has come to here: what starts up to it may start whoever else is due
  std::int64_t cpi_ = 0;    // sub-cycles per instruction
  Time horizon_time_ = Time::min();  // what horizon_ was computed for
  std::int64_t horizon_ = 0;
  bool stop_requested_ = false, is_draining_ = false;

  // Misses under way.
  Misses active_;
  Misses waiting_stores_;                      // the store buffer
  KnownEnds<Miss> ends_;                       // of both
  std::vector<std::unique_ptr<Slot>> slots_;   // one for each miss that may be active
  std::vector<std::unique_ptr<Slot>> stores_;  // one for each entry of the store buffer; none: stores wait as loads do
  std::vector<Slot*> free_slots_, free_stores_;
  std::vector<Slot*> queued_stores_;    // stores that wait for a fill buffer
  std::vector<PhysAddr> filled_lines_;  // of the fill buffers that stores use
  std::uint64_t stall_at_ = ~0ULL;      // the instruction that may not start before an active miss is done
  std::uint64_t window_ = 0;            // instructions past the oldest active miss; with one miss at a time none
  std::int64_t last_done_ = 0;          // the latest end of a miss that is no longer active
  std::int64_t last_load_at_ = 0;       // when the data of the last load is there, its active slots aside
  std::int64_t l1_latency_ = 0;         // sub-cycles
  bool is_blocked_ = false, is_blocked_on_walk_ = false;
  std::int64_t blocked_since_ = 0;
  std::uint8_t dependence_mask_ = 0, dependence_always_ = 0;
  bool has_l1i_ = false;
  L1Look l1_look_ = L1Look::none;  // run_hits() has just looked up the first page of work.next
  PhysAddr translated_{};          // what it found, if it did; then L1D does not have it
  PageSize translated_size_ = PageSize::k4K;

  // Pace.
  Style style_ = Style::plain;
  double pace_base_ = 0, pace_step_ = 0;  // sub-cycles: record i of the run starts at base + i * step
  std::uint64_t portion_ = ~0ULL;         // instructions between two portions of idle time
  std::int64_t waits_from_ = kUnknown;    // the next reference waits for its pace: it was ready here
  std::int64_t on_since_ = 0, idle_ = 0;  // of the thread on this CPU
  Duration stolen_{};
  CpuStats stats_;
};

}  // namespace collapsar
