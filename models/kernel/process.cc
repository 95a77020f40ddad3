#include "models/kernel/process.h"

#include <algorithm>

namespace collapsar {

Processes::Processes(KernelContext& kernel) : kernel_(kernel) {}

// Frames that page tables still map are not given back one by one: the machine is going.
Processes::~Processes() = default;

Process& Processes::create(std::uint32_t pid, const std::string& name) {
  Process& process = *processes_.emplace_back(std::make_unique<Process>());
  process.pid = pid;
  process.name = name;
  process.mm = &new_address_space(pid);
  return process;
}

TaskId Processes::new_task(Process& process) {
  const auto task = TaskId(task_owner_.size());
  task_owner_.push_back(&process);
  process.tasks.push_back(task);
  return task;
}

void Processes::end_task(TaskId task) { std::erase(of(task).tasks, task); }

void Processes::end(Process& process) {
  process.alive = false;
  process.mm = nullptr;
  process.tasks.clear();
}

Process* Processes::by_pid(std::uint32_t pid) {
  // The latest of that number: a pid may be used again after an exit.
  const auto it = std::find_if(processes_.rbegin(), processes_.rend(), [&](const auto& p) { return p->pid == pid; });
  return it == processes_.rend() ? nullptr : it->get();
}

AddressSpace& Processes::new_address_space(std::uint32_t pid) {
  const auto asid = Asid(address_spaces_.size() + 1);
  return *address_spaces_.emplace_back(std::make_unique<AddressSpace>(kernel_, asid, pid));
}

}  // namespace collapsar
