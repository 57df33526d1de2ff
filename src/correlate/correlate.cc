#include "correlate/correlate.h"

#include <algorithm>
#include <array>

#include "base/prefetch.h"
#include "base/text.h"
#include "correlate/expiry.h"
#include "correlate/local.h"
#include "correlate/open_codec.h"
#include "correlate/open_table.h"
#include "correlate/streams.h"

namespace bounced::correlate {
namespace {

// How far ahead lines are fetched: first the slot of the key, then what it points to.
constexpr std::uint32_t kNotesAhead = 32;
constexpr std::uint32_t kEventsAhead = 16;
// The same where records lie apart.
constexpr std::size_t kOpenAhead = 8;

/// For prefetching: where a text is that may be none.
inline const void* text_address(const Batch& batch, Text text) {
  const bool in_arena = (text.offset & Text::kArenaBit) != 0;
  const char* const from = in_arena ? batch.arena() : batch.block->data;
  return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) +
                                       (text.offset & ~Text::kArenaBit));
}

/// Both of the lines that a usual text lies in.
inline void prefetch_text(const Batch& batch, Text text) {
  const auto* const first = static_cast<const char*>(text_address(batch, text));
  bounced::prefetch(first);
  bounced::prefetch(first + text.size);
}

}  // namespace

struct Correlator::Impl {
  Impl(Options given, store::Names& names)
      : streams(std::move(given.streams), names),
        table(given.entries_max),
        expired(given.expired) {}

  StreamMatcher streams;
  OpenTable table;
  Verdict expired;
  Stats stats;
  std::uint32_t stamp = 0;  ///< number of the apply() call; never 0 while one runs

  // The parts of the usual delivery are made one with the loop over the batch: their prologues
  // would cost a third of it.
  [[gnu::always_inline]] void on_note(Batch& batch, const Note& note, std::vector<Event*>& out);
  [[gnu::noinline]] void on_rare_note(Batch& batch, const Note& note, std::vector<Event*>& out);
  [[gnu::always_inline]] void on_event(Batch& batch, Event& event);
  [[gnu::always_inline]] void on_begin(const Batch& batch, const Note& note);
  void on_message_id(const Batch& batch, const Note& note);
  void on_client(const Batch& batch, const Note& note);
  void on_campaign(const Batch& batch, const Note& note);
  void on_expired(Batch& batch, const Note& note, std::vector<Event*>& out);
  [[gnu::always_inline]] void finish(OpenMessage& message, std::uint64_t recipients);
  [[gnu::noinline]] OpenMessage& defer(const Batch& batch, const Event& event);
  [[gnu::noinline]] void copy_texts(Batch& batch, OpenMessage& message) const;
  [[gnu::always_inline]] void enrich(Batch& batch, Event& event, OpenMessage& message);
  [[gnu::noinline]] void enrich_alone(const Batch& batch, Event& event);
  StreamMatcher::Match match(const Batch& batch, std::uint16_t origin, StreamFacts facts);
  void join(const Batch& batch);
  void match_local(Batch& batch);
  [[gnu::always_inline]] void take_open_note(Batch& batch, std::size_t at,
                                             std::vector<Event*>& out);
  [[gnu::always_inline]] void take_open_event(Batch& batch, std::size_t at);
  [[gnu::noinline]] void resolve(const Batch& batch, std::uint16_t origin, OpenMessage& message);
  void prefetch(const Batch& batch, const Cursor& cursor) const;
  [[gnu::always_inline]] void prefetch_for(const Batch& batch, const Note& note) const;
  [[gnu::always_inline]] void prefetch_for(const Batch& batch, const Event& event,
                                           bool large) const;
  [[gnu::always_inline]] std::uint64_t fingerprint(const Batch& batch, OpenMessage& message) const;
  Event& synthesise(Batch& batch, const Note& note, OpenMessage& message,
                    const DeferredRecipient& recipient, std::uint64_t number);

  OpenMessage& find_or_create(std::uint64_t key, std::int64_t time_us) {
    OpenMessage* message = table.find(key);
    return message != nullptr ? *message : table.create(key, time_us);
  }
  OpenRecords open;
  /// Slab indices of messages that were made loose in this call.
  std::vector<std::uint32_t> loose;

  [[gnu::always_inline]] void set_text(const Batch& batch, OpenMessage& message, Field field,
                                       Text text);
  [[gnu::noinline]] void copy_text(const Batch& batch, OpenMessage& message, Field field,
                                   Text text);
  void settle(const Batch& batch, OpenMessage& message);
  void settle_all(const Batch& batch);
  /// A text wherever it is.
  static std::string_view text_of(const Batch& batch, OpenMessage& message, Field field) {
    if (!message.loose) return message.text(field);
    const std::uint16_t size = message.pieces[static_cast<std::size_t>(field)].size;
    return size == 0 ? std::string_view{} : batch.view({message.place(field), size});
  }
};

// --- texts --------------------------------------------------------------------------------------

inline void Correlator::Impl::set_text(const Batch& batch, OpenMessage& message, Field field,
                                       Text text) {
  const bool first = message.pieces[static_cast<std::size_t>(field)].size == 0;
  if (!first || text.size == 0 || (message.used != 0 && !message.loose)) {
    return copy_text(batch, message, field, text);
  }
  if (!message.loose) {
    message.loose = true;
    message.copy_stamp = stamp;
    loose.push_back(message.index);
  }
  message.set_loose(field, text);
  message.flags &= static_cast<std::uint8_t>(~OpenMessage::kResolved);
  table.changed(message);
}

void Correlator::Impl::copy_text(const Batch& batch, OpenMessage& message, Field field, Text text) {
  settle(batch, message);
  // When all that is known was told by this batch, its events can share the lines' own bytes.
  const bool here = message.used == 0 || message.copy_stamp == stamp;
  if (!message.set_text(field, batch.view(text))) return;
  if (here) {
    message.copy_stamp = stamp;
    message.place(field) = text.offset;
  }
  if (field == Field::message_id) message.fingerprint = 0;
  if (field == Field::sender) message.sender_domain = 0;
  message.flags &= static_cast<std::uint8_t>(~OpenMessage::kResolved);
  table.changed(message);
}

/// Gives a loose message bytes of its own.
void Correlator::Impl::settle(const Batch& batch, OpenMessage& message) {
  if (!message.loose) return;
  message.loose = false;
  for (const Field field : {Field::sender, Field::message_id, Field::sasl_user, Field::campaign}) {
    OpenMessage::Piece& piece = message.pieces[static_cast<std::size_t>(field)];
    if (piece.size == 0) continue;
    const std::string_view text = batch.view({message.place(field), piece.size});
    piece = {};
    message.set_text(field, text);
  }
  message.copy_stamp = stamp;
}

/// The batch goes; those that are still open keep what it said.
void Correlator::Impl::settle_all(const Batch& batch) {
  constexpr std::size_t kAhead = 8;
  for (std::size_t i = 0; i < loose.size(); ++i) {
    if (i + 2 * kAhead < loose.size()) {
      // Its texts' lines, too, which are written here for the first time.
      prefetch_lines(&table.message(loose[i + 2 * kAhead]), sizeof(OpenMessage));
    }
    if (i + kAhead < loose.size()) {
      OpenMessage& next = table.message(loose[i + kAhead]);
      if (next.loose) {
        // An empty one may be anywhere, which costs a prefetch of no use.
        for (const Field field : {Field::sender, Field::message_id}) {
          prefetch_text(batch,
                        {next.place(field), next.pieces[static_cast<std::size_t>(field)].size});
        }
      }
    }
    OpenMessage& message = table.message(loose[i]);
    if (message.has(OpenMessage::kAlive)) settle(batch, message);
  }
  loose.clear();
}

// --- notes --------------------------------------------------------------------------------------
//
// When is a queue id in use for another message, although nobody said `removed`? Postfix writes, in
// this order: smtpd client= (once per id), cleanup message-id=, qmgr from= (again in every queue
// run), deliveries, qmgr removed. A transaction that the client breaks off leaves its client= line
// without an end. So these start anew:
//  - client= or sasl_username= on an id that already had one, or that qmgr has seen;
//  - a message-id= that differs, once qmgr has seen the id (before that it is a Resent-Message-ID
//    beside the Message-ID, and the first one stands);
//  - from= with another sender, once qmgr has seen the id.
// A repeated from= of the same sender starts nothing.

inline void Correlator::Impl::on_begin(const Batch& batch, const Note& note) {
  constexpr std::uint8_t kFlags = OpenMessage::kBegun | OpenMessage::kSenderKnown;
  OpenMessage* message = table.find(note.queue_key);
  if (message == nullptr) {
    message = &table.create(note.queue_key, note.time_us);
  } else {
    if (message->has(OpenMessage::kBegun)) {
      const std::string_view sender = batch.view(note.text).substr(0, kFieldBytesMax[0]);
      if (text_of(batch, *message, Field::sender) == sender) return;
      table.restart(*message, note.time_us);
    }
    table.changed(*message);
  }
  set_text(batch, *message, Field::sender, note.text);
  if (note.text.size <= kFieldBytesMax[0]) message->sender_domain = note.text_key;
  message->nrcpt = note.number;
  message->flags |= kFlags;
}

void Correlator::Impl::on_message_id(const Batch& batch, const Note& note) {
  constexpr std::size_t kIdMax = kFieldBytesMax[static_cast<std::size_t>(Field::message_id)];
  const std::string_view id = batch.view(note.text);
  if (!usable_id(id)) return;
  OpenMessage& message = find_or_create(note.queue_key, note.time_us);
  const std::string_view known = text_of(batch, message, Field::message_id);
  if (!known.empty()) {
    if (!message.has(OpenMessage::kBegun)) return;
    if (known == id.substr(0, kIdMax)) return;
    table.restart(message, note.time_us);
  }
  set_text(batch, message, Field::message_id, note.text);
  message.fingerprint = id.size() <= kIdMax ? note.text_key : 0;
}

void Correlator::Impl::on_client(const Batch& batch, const Note& note) {
  OpenMessage& message = find_or_create(note.queue_key, note.time_us);
  if (message.has(OpenMessage::kBegun | OpenMessage::kClient)) {
    table.restart(message, note.time_us);
  }
  message.flags |= OpenMessage::kClient;
  if (note.kind == NoteKind::sasl_user) set_text(batch, message, Field::sasl_user, note.text);
  table.changed(message);
}

void Correlator::Impl::on_campaign(const Batch& batch, const Note& note) {
  set_text(batch, find_or_create(note.queue_key, note.time_us), Field::campaign, note.text);
}

inline void Correlator::Impl::on_note(Batch& batch, const Note& note, std::vector<Event*>& out) {
  if (note.queue_key == 0) return;
  if (note.kind == NoteKind::begin) return on_begin(batch, note);
  if (note.kind == NoteKind::removed) return table.erase(note.queue_key);
  on_rare_note(batch, note, out);
}

void Correlator::Impl::on_rare_note(Batch& batch, const Note& note, std::vector<Event*>& out) {
  switch (note.kind) {
    case NoteKind::message_id:
      return on_message_id(batch, note);
    case NoteKind::sasl_user:
    case NoteKind::client:
      return on_client(batch, note);
    case NoteKind::campaign:
      return on_campaign(batch, note);
    case NoteKind::expired:
      return on_expired(batch, note, out);
    case NoteKind::mx_failure:
      ++stats.mx_failures;
      if (OpenMessage* message = table.find(note.queue_key); message != nullptr) {
        settle(batch, *message);
        if (message->set_text(Field::mx_failure, batch.view(note.text))) table.changed(*message);
      }
      return;
    case NoteKind::begin:
    case NoteKind::removed:
    case NoteKind::notification:
      return;
  }
}

// --- expiry -------------------------------------------------------------------------------------

Event& Correlator::Impl::synthesise(Batch& batch, const Note& note, OpenMessage& message,
                                    const DeferredRecipient& recipient, std::uint64_t number) {
  using Part = DeferredRecipient::Part;
  Event& event = batch.synthesised.emplace_back();
  const std::uint64_t identity[3] = {batch.block->file, note.offset, number};
  event.id = hash64({reinterpret_cast<const char*>(identity), sizeof identity});
  event.time_us = note.time_us;
  event.offset = note.offset;
  event.recipient_id = recipient.id;
  event.domain_id = recipient.domain;
  event.queue_key = note.queue_key;
  event.recipient = batch.add(recipient.part(Part::kRecipient));
  event.queue_id = batch.add(recipient.part(Part::kQueueId));
  event.mta_host = batch.add(recipient.part(Part::kMtaHost));
  event.mta_ip = batch.add(recipient.part(Part::kMtaIp));
  const std::string_view words = recipient.part(Part::kWords);
  settle(batch, message);
  event.diagnostic = batch.add(words.empty() ? message.text(Field::mx_failure) : words);
  event.source = batch.block->source;
  const std::int64_t delay_ms = (note.time_us - recipient.arrived_us) / 1000;
  event.delay_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay_ms, 0, UINT32_MAX));
  event.smtp_code = recipient.smtp_code;
  event.mta_port = recipient.mta_port;
  event.origin = note.origin;
  event.enhanced = recipient.enhanced;
  event.kind = EventKind::expired;
  event.phase = recipient.phase;
  event.flags =
      EventFlags::kSynthesised |
      (recipient.flags & (EventFlags::kSession | EventFlags::kTruncated | EventFlags::kRelay));
  event.format = recipient.format;
  batch.set_verdict(event, verdict_of_expiry(recipient, expired));
  enrich(batch, event, message);
  return event;
}

void Correlator::Impl::on_expired(Batch& batch, const Note& note, std::vector<Event*>& out) {
  OpenMessage* message = table.find(note.queue_key);
  if (message == nullptr || message->first_recipient == 0) {
    ++stats.expired_unmatched;
    return;
  }
  std::uint64_t number = 0;
  for (std::uint32_t i = message->first_recipient; i != 0; i = table.recipient(i).next) {
    out.push_back(&synthesise(batch, note, *message, table.recipient(i), number++));
  }
  stats.expired_events += number;
  table.remove_all_recipients(*message);
  finish(*message, number);
}

/// All recipients that qmgr counted (nrcpt=) have their outcome: the message is over, whether or
/// not `removed` is ever seen. Where it is not logged this keeps entries from piling up; where it
/// is, entries are gone a little earlier.
inline void Correlator::Impl::finish(OpenMessage& message, std::uint64_t recipients) {
  message.done =
      static_cast<std::uint16_t>(std::min<std::uint64_t>(message.done + recipients, UINT16_MAX));
  if (message.nrcpt != 0 && message.done >= message.nrcpt && message.first_recipient == 0) {
    return table.erase(message);
  }
  table.changed(message);
}

// --- events -------------------------------------------------------------------------------------

OpenMessage& Correlator::Impl::defer(const Batch& batch, const Event& event) {
  OpenMessage& message = find_or_create(event.queue_key, event.time_us);
  DeferredRecipient* recipient = table.find_recipient(message, event.recipient_id);
  if (recipient == nullptr) {
    recipient = &table.add_recipient(message, event.recipient_id);
    recipient->domain = event.domain_id;
  }
  // Formats whose records tell all of their message have no line of their own for these: the final
  // outcome must have the fingerprint of this attempt.
  if (!event.message_id.empty() && usable_id(batch.view(event.message_id)) &&
      text_of(batch, message, Field::message_id).empty()) {
    copy_text(batch, message, Field::message_id, event.message_id);
  }
  table.changed(message);
  const bool attempted = !event.has(EventFlags::kNotAttempted);
  // Once there are words of an attempt, a replay of somebody else's failure does not hide them.
  if (!attempted && recipient->attempted) return message;
  recipient->arrived_us = event.time_us - std::int64_t{event.delay_ms} * 1000;
  recipient->smtp_code = event.smtp_code;
  recipient->mta_port = event.mta_port;
  recipient->enhanced = event.enhanced;
  recipient->phase = event.phase;
  recipient->flags = event.flags;
  recipient->format = event.format;
  recipient->attempted = attempted;
  recipient->set_parts({batch.view(event.recipient), batch.view(event.queue_id),
                        batch.view(event.mta_host), batch.view(event.mta_ip),
                        batch.view(event.diagnostic)});
  if (!attempted) return message;
  if (const Verdict* verdict = batch.verdict(event); verdict != nullptr) recipient->judge(*verdict);
  return message;
}

inline std::uint64_t Correlator::Impl::fingerprint(const Batch& batch, OpenMessage& message) const {
  if (message.fingerprint == 0) {
    const std::string_view id = text_of(batch, message, Field::message_id);
    message.fingerprint =
        usable_id(id)
            ? message_fingerprint(id)
            : hash_of(message.key, static_cast<std::uint64_t>(message.first_us), kSeedQueue);
  }
  return message.fingerprint;
}

/// Tenant and stream of a message of that origin (StreamFacts::instance is filled in here).
StreamMatcher::Match Correlator::Impl::match(const Batch& batch, std::uint16_t origin,
                                             StreamFacts facts) {
  const Origin* from = batch.origin(origin);
  if (from != nullptr) facts.instance = batch.view(from->instance);
  return streams.match(facts);
}

void Correlator::Impl::resolve(const Batch& batch, std::uint16_t origin, OpenMessage& message) {
  message.flags |= OpenMessage::kResolved;
  const StreamMatcher::Match match = this->match(batch, origin,
                                                 {text_of(batch, message, Field::sasl_user),
                                                  text_of(batch, message, Field::sender),
                                                  {},
                                                  text_of(batch, message, Field::campaign)});
  message.tenant = match.tenant;
  message.stream = match.stream;
}

/// One copy serves every event of the message in this call.
void Correlator::Impl::copy_texts(Batch& batch, OpenMessage& message) const {
  const std::uint32_t begin = batch.add({message.data(), message.used}).offset;
  for (const Field field : {Field::sender, Field::message_id, Field::campaign}) {
    message.place(field) = begin + message.pieces[static_cast<std::size_t>(field)].offset;
  }
  message.copy_stamp = stamp;
}

inline void Correlator::Impl::enrich(Batch& batch, Event& event, OpenMessage& message) {
  if (!streams.empty() && !message.has(OpenMessage::kResolved)) {
    resolve(batch, event.origin, message);
  }
  if (message.used != 0 || message.loose) {
    if (message.copy_stamp != stamp) copy_texts(batch, message);
    const auto give = [&](Field field, Text& text) {
      const OpenMessage::Piece piece = message.pieces[static_cast<std::size_t>(field)];
      if (text.size == 0 && piece.size != 0) text = {message.place(field), piece.size};
    };
    if (event.sender.empty() && message.pieces[0].size != 0) {
      if (message.sender_domain == 0) {
        message.sender_domain = domain_key(text_of(batch, message, Field::sender));
      }
      event.sender_domain = message.sender_domain;
    }
    give(Field::sender, event.sender);
    give(Field::message_id, event.message_id);
    give(Field::campaign, event.campaign);
  }
  event.message = fingerprint(batch, message);
  const bool sender_known = message.has(OpenMessage::kSenderKnown);
  if (sender_known && event.sender.empty()) event.flags |= EventFlags::kNullSender;
  if (event.stream == 0) event.stream = message.stream;
  if (event.tenant == 0) event.tenant = message.tenant;
  ++(sender_known ? stats.enriched : stats.not_enriched);
}

void Correlator::Impl::enrich_alone(const Batch& batch, Event& event) {
  ++stats.not_enriched;
  if (event.message != 0) {
    // Its source knows it by another name than the header's (a provider's webhooks).
  } else if (const std::string_view id = batch.view(event.message_id); usable_id(id)) {
    event.message = message_fingerprint(id);
  } else {
    event.message =
        event.queue_key != 0
            ? hash_of(event.queue_key, static_cast<std::uint64_t>(event.time_us), kSeedQueue)
            : hash_of(event.id, 0, kSeedQueue);
  }
  if (streams.empty() || event.stream != 0) return;
  const StreamMatcher::Match match = this->match(
      batch, event.origin, {{}, batch.view(event.sender), {}, batch.view(event.campaign)});
  event.stream = match.stream;
  if (event.tenant == 0) event.tenant = match.tenant;
}

inline void Correlator::Impl::on_event(Batch& batch, Event& event) {
  if (event.queue_key == 0) return enrich_alone(batch, event);
  OpenMessage* message =
      event.kind == EventKind::deferred ? &defer(batch, event) : table.find(event.queue_key);
  if (message == nullptr) return enrich_alone(batch, event);
  enrich(batch, event, *message);
  // A probe is not mail; whatever else happened, the message is done with this recipient.
  if (event.kind == EventKind::deferred || event.kind == EventKind::probed) return;
  if (message->first_recipient != 0 && event.kind == EventKind::expired) {
    DeferredRecipient* recipient = table.find_recipient(*message, event.recipient_id);
    if (recipient != nullptr) take_attempts(batch, event, *recipient, expired);
  }
  table.remove_recipient(*message, event.recipient_id);
  if (ends_one_recipient(event)) finish(*message, 1);
}

// --- the pass -----------------------------------------------------------------------------------

void Correlator::Impl::prefetch(const Batch& batch, const Cursor& cursor) const {
  const auto notes = std::min<std::size_t>(batch.notes.size(), cursor.note + kNotesAhead);
  for (std::size_t i = cursor.note; i < notes; ++i) table.prefetch_slot(batch.notes[i].queue_key);
  const auto events = std::min<std::size_t>(batch.events.size(), cursor.event + kEventsAhead);
  for (std::size_t i = cursor.event; i < events; ++i) {
    table.prefetch_slot(batch.events[i].queue_key);
  }
}

/// Sends for what a note will touch whose slot has come.
inline void Correlator::Impl::prefetch_for(const Batch& batch, const Note& note) const {
  // The first text of a message stays where it is for now; a repeated sender is compared.
  const bool known = table.prefetch_message(note.queue_key, note.kind == NoteKind::begin);
  if (known) prefetch_text(batch, note.text);
}

inline void Correlator::Impl::prefetch_for(const Batch& batch, const Event& event,
                                           bool large) const {
  table.prefetch_message(event.queue_key, large);
  if (event.kind != EventKind::deferred) return;
  bounced::prefetch(text_address(batch, event.recipient));
  prefetch_lines(text_address(batch, event.diagnostic),
                 std::min<std::size_t>(event.diagnostic.size, kLastWordsBytesMax));
}

Correlator::Correlator(Options options, store::Names& names)
    : impl_(std::make_unique<Impl>(std::move(options), names)) {}
Correlator::~Correlator() = default;

void Correlator::set_expired(const Verdict& expired) {
  impl_->expired = expired;
}

Result<void> Correlator::load(const store::Store& store) {
  return impl_->table.load(store);
}

void Correlator::apply(Batch& batch, Cursor& cursor, std::int64_t until_us,
                       std::vector<Event*>& out) {
  Impl& impl = *impl_;
  if (++impl.stamp == 0) impl.stamp = 1;
  const bool large = impl.table.large();
  if (large) impl.prefetch(batch, cursor);
  const Note* note = batch.notes.data() + cursor.note;
  const Note* const notes_end = batch.notes.data() + batch.notes.size();
  Event* event = batch.events.data() + cursor.event;
  Event* const events_end = batch.events.data() + batch.events.size();
  std::uint32_t at_event = cursor.event;
  for (;;) {
    if (note != notes_end && (note->before_event <= at_event || event == events_end)) {
      if (note->time_us > until_us) break;
      if (notes_end - note > std::ptrdiff_t{kNotesAhead}) {
        if (large) {
          impl.table.prefetch_slot(note[kNotesAhead].queue_key);
          impl.prefetch_for(batch, note[kNotesAhead / 2]);
        }
      }
      impl.table.advance(note->time_us);
      impl.on_note(batch, *note++, out);
      continue;
    }
    if (event == events_end) break;
    if (event->time_us > until_us) break;
    if (events_end - event > std::ptrdiff_t{kEventsAhead}) {
      if (large) impl.table.prefetch_slot(event[kEventsAhead].queue_key);
      impl.prefetch_for(batch, event[kEventsAhead / 2], large);
      const Event& soon = event[kEventsAhead / 4];
      impl.table.prefetch_recipient(soon.queue_key, soon.recipient_id);
    }
    impl.table.advance(event->time_us);
    impl.on_event(batch, *event);
    out.push_back(event);
    ++event;
    ++at_event;
  }
  impl.settle_all(batch);
  cursor.note = static_cast<std::uint32_t>(note - batch.notes.data());
  cursor.event = at_event;
}

// --- messages of one batch ----------------------------------------------------------------------
//
// A local message is begun, delivered and gone within one call. Nobody can tell that it had no
// entry, as long as
//  - nothing older is known of its queue id;
//  - the batch is taken whole: neither another file's records nor a cut come between;
//  - no sweep comes between (a new hour), and the table is not so full that it would make room.
// What such messages give to their events was given by prepare(). Left are the records of others:
// few, so that a plain delivery is not even looked at here.

/// Which messages need no entry, and which records are left then. To take one for known that is
/// not costs time only.
void Correlator::Impl::join(const Batch& batch) {
  constexpr std::size_t kAhead = 12;
  const std::uint64_t* const keys = batch.prepared.whole.data();
  const std::size_t size = batch.prepared.whole.size();
  const bool large = table.large();
  open.accepted.resize(size + 1);
  open.accepted[0] = 0;
  std::uint16_t* const accepted = open.accepted.data() + 1;
  for (std::size_t i = 0; i < size; ++i) {
    if (large && i + kAhead < size) table.prefetch_slot(keys[i + kAhead]);
    accepted[i] = keys[i] != 0 && !table.may_hold(keys[i]);
  }
  open.list(batch);
}

/// Tenants and streams for the events of messages without an entry.
void Correlator::Impl::match_local(Batch& batch) {
  for (Event& event : batch.events) {
    if (open.accepted[event.local] == 0) continue;
    LocalMessage& message = batch.local[event.local - 1u];
    if (!message.resolved) {
      const StreamMatcher::Match match = this->match(batch, event.origin,
                                                     {batch.view(message.sasl_user),
                                                      batch.view(message.sender),
                                                      {},
                                                      batch.view(message.campaign)});
      message.tenant = match.tenant;
      message.stream = match.stream;
      message.resolved = true;
    }
    if (event.stream == 0) event.stream = message.stream;
    if (event.tenant == 0) event.tenant = message.tenant;
  }
}

/// Number `at` of the open notes; sends for what those behind it will touch.
inline void Correlator::Impl::take_open_note(Batch& batch, std::size_t at,
                                             std::vector<Event*>& out) {
  const auto soon = [&](std::size_t ahead) { return open.note(batch, at + ahead); };
  if (const Note* note = soon(3 * kOpenAhead); note != nullptr) {
    const auto* const lines = reinterpret_cast<const char*>(note);
    bounced::prefetch(lines);
    bounced::prefetch(lines + sizeof(Note) - 1);
  }
  if (table.large()) {
    if (const Note* note = soon(2 * kOpenAhead); note != nullptr) {
      table.prefetch_slot(note->queue_key);
    }
    if (const Note* note = soon(kOpenAhead); note != nullptr) prefetch_for(batch, *note);
  }
  Note& note = batch.notes[open.notes[at]];
  note.time_us += batch.prepared.add_us;
  note.time_form = TimeForm::utc;
  on_note(batch, note, out);
}

/// Number `at` of the open events; sends for what those behind it will touch.
inline void Correlator::Impl::take_open_event(Batch& batch, std::size_t at) {
  const auto soon = [&](std::size_t ahead) { return open.event(batch, at + ahead); };
  if (const Event* event = soon(3 * kOpenAhead); event != nullptr) {
    prefetch_lines(event, sizeof(Event));
  }
  const bool large = table.large();
  if (const Event* event = soon(2 * kOpenAhead); large && event != nullptr) {
    table.prefetch_slot(event->queue_key);
  }
  if (const Event* event = soon(kOpenAhead); event != nullptr) prefetch_for(batch, *event, large);
  if (const Event* event = soon(kOpenAhead / 2); event != nullptr) {
    table.prefetch_recipient(event->queue_key, event->recipient_id);
  }
  Event& event = batch.events[open.events[at]];
  take_back(batch, event);
  on_event(batch, event);
}

bool Correlator::apply_joined(Batch& batch, std::int64_t add_us, std::vector<Event*>& out) {
  Impl& impl = *impl_;
  const RecordTimes& times = batch.times;
  if (!batch.joined || !impl.table.same_hour(times.oldest_us + add_us, times.newest_us + add_us) ||
      !impl.table.has_room(batch.notes.size() + batch.events.size())) {
    return false;
  }
  if (!batch.prepared.done || batch.prepared.add_us != add_us) prepare(batch, add_us);
  if (++impl.stamp == 0) impl.stamp = 1;
  impl.join(batch);
  if (!impl.streams.empty()) impl.match_local(batch);
  impl.stats.enriched += batch.events.size() - impl.open.events.size();
  std::uint32_t handed_out = 0;
  const auto hand_out = [&](std::uint32_t until) {
    Event* const events = batch.events.data();
    const std::size_t size = out.size();
    out.resize(size + until - handed_out);
    for (Event** to = out.data() + size; handed_out < until;) *to++ = events + handed_out++;
  };
  std::size_t note = 0;
  const auto take_notes = [&](std::uint32_t before_event) {
    for (; note < impl.open.notes.size(); ++note) {
      const Note& next = batch.notes[impl.open.notes[note]];
      if (next.before_event > before_event) return;
      if (next.kind == NoteKind::expired) hand_out(next.before_event);
      impl.take_open_note(batch, note, out);
    }
  };
  const auto events = static_cast<std::uint32_t>(batch.events.size());
  out.reserve(out.size() + events);
  for (std::size_t i = 0; i < impl.open.events.size(); ++i) {
    take_notes(impl.open.events[i]);
    impl.take_open_event(batch, i);
  }
  take_notes(events);
  hand_out(events);
  impl.settle_all(batch);
  return true;
}

void Correlator::append_to(store::WriteSet& set) {
  impl_->table.append_to(set);
}

const Result<void>& Correlator::status() const {
  return impl_->table.status();
}

Correlator::Stats Correlator::stats() const {
  Stats stats = impl_->stats;
  stats.open = impl_->table.size();
  stats.evicted = impl_->table.evicted();
  stats.spilled = impl_->table.spilled();
  return stats;
}

}  // namespace bounced::correlate
