#include "base/batch.h"

namespace bounced {

void ParseCounts::add(const ParseCounts& other) {
  lines += other.lines;
  bytes += other.bytes;
  ignored += other.ignored;
  unparsed += other.unparsed;
  foreign += other.foreign;
  oversize += other.oversize;
  bad_recipient += other.bad_recipient;
  lost_messages += other.lost_messages;
  loss_alarms += other.loss_alarms;
}

void Batch::clear() {
  block.reset();
  events.clear();
  notes.clear();
  verdicts.clear();
  origins.clear();
  domains.clear();
  hosts.clear();
  providers.clear();
  keys.clear();
  local.clear();
  note_local.clear();
  joined = false;
  times = {};
  prepared.done = false;
  synthesised.clear();
  run.clear();
  counts = {};
  sample_unparsed = -1;
  arena_.clear();
}

}  // namespace bounced
