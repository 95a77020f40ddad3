#include "sim/run/machine.h"

namespace collapsar {

namespace {

ShootdownCosts shootdown_costs(const KernelCosts& costs) {
  return {.flush_page = costs.flush_page,
          .flush_full = costs.flush_full,
          .ipi_first = costs.ipi_first,
          .ipi_more = costs.ipi_more,
          .ipi_receive = costs.ipi_receive};
}

ReplayConfig replay_of(const ExperimentConfig& config) {
  ReplayConfig replay = config.trace.replay;
  replay.levels = config.mmu.levels;
  return replay;
}

}  // namespace

Machine::Machine(const ExperimentConfig& config, TraceSource& source, MachineSwitches switches)
    : config_(config),
      clock_(config_.cpu.frequency),
      queue_(switches.one_event_per_step),
      memory_(config_.memory),
      dram_(queue_, config_.dram),
      swap_(queue_, config_.swap, config_.seed),
      shootdown_(shootdown_costs(config_.kernel.costs)),
      scheduler_(queue_, config_.cpu, replay_of(config_), source, config_.kernel.costs.context_switch) {
  if (config_.caches) caches_.emplace(queue_, dram_, *config_.caches, config_.cpu.count, clock_, config_.seed);
  CacheHierarchy* caches = caches_ ? &*caches_ : nullptr;
  for (CpuId id = 0; id < config_.cpu.count; ++id) {
    mmus_.push_back(std::make_unique<Mmu>(queue_, config_.mmu, id, caches, dram_, clock_, config_.seed));
    cpus_.push_back(
        std::make_unique<Cpu>(queue_, config_.cpu, config_.time, id, *mmus_[id], caches, clock_, scheduler_));
    shootdown_.add_cpu(*mmus_[id], *cpus_[id]);
  }
  kernel_ = std::make_unique<Kernel>(queue_, memory_, dram_, swap_, shootdown_, scheduler_, config_.kernel,
                                     config_.mmu.levels);
  kernel_->fragment(config_.memory.fragmentation, config_.seed);
  if (switches.record) record(*switches.record);
  connect(switches.check);
}

void Machine::record(std::uint64_t spans_of_a_kind) {
  chronicle_ = std::make_unique<RangeChronicle>(queue_);
  kernel_->history().add_watcher(*chronicle_);
  if (spans_of_a_kind == 0) return;
  spans_.emplace(spans_of_a_kind);
  kernel_->set_spans(&*spans_);
  scheduler_.set_spans(&*spans_);
  swap_.set_spans(&*spans_);
}

void Machine::connect(bool check) {
  walks_ = std::make_unique<WalkAccount>(queue_, kernel_->processes(), scheduler_, shootdown_);
  ledger_ = std::make_unique<MemoryLedger>(*kernel_, memory_);
  kernel_->history().add_watcher(*walks_);
  ranges_ = std::make_unique<RangeBook>(*kernel_, *walks_, queue_, chronicle_.get());
  exit_watch_ = std::make_unique<ExitWatch>(kernel_->syscalls(), *ledger_, *ranges_);
  std::vector<Cpu*> cpus;
  for (CpuId id = 0; id < config_.cpu.count; ++id) {
    mmus_[id]->set_observer(walks_.get());
    cpus.push_back(cpus_[id].get());
  }
  shootdown_.set_check(check);
  scheduler_.connect(std::move(cpus), *exit_watch_, kernel_->faults(), shootdown_);
}

// Events are members of the models: they leave the agenda before the models go.
Machine::~Machine() { queue_.clear(); }

SpanRecord Machine::take_spans() {
  if (!spans_) return {};
  kernel_->cut_spans();
  scheduler_.cut_spans();
  return spans_->take(queue_.now());
}

void Machine::prepare() {
  kernel_->start();
  scheduler_.prepare();
}

// In the middle of a run pages are in the hands of faults and collapses: what belongs to nobody is not counted as lost.
void Machine::check_kernel() { kernel_->check(/*at_rest=*/false); }

}  // namespace collapsar
