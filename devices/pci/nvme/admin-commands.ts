/** Admin command set: NVM Express Base Specification 1.4, "Admin Command Set". */
import { SECTOR } from '../../block-backend';
import type { NvmeCommand } from './command';
import { done, SUCCESS, type CommandHandler, type CommandOutcome, type CommandResult, type ControllerParts } from './controller-parts';
import { activeNamespaces, Cns, eui64Of, identifyController, identifyNamespace, IDENTIFY_BYTES, namespaceDescriptors } from './identify';
import { ALL_NAMESPACES, IO_COMMANDS, NAMESPACE } from './io-commands';
import { commandEffects, firmwareSlots, LogPage } from './log-pages';
import { Cc, IOCQES, IOSQES, MAX_QUEUE_ENTRIES, pageSizeOf } from './registers';
import { Status, type StatusCode } from './status';

/** Command Dword 11 of queue creation. */
const PHYSICALLY_CONTIGUOUS = 0x1;
const INTERRUPTS_ENABLED = 0x2;
/** Retain Asynchronous Event. */
const RAE = 0x8000;
const NOT_ABORTED = 1;
const TWO32 = 0x1_0000_0000;
const LAST_NAMESPACE_FOR_LIST = 0xffff_fffe;

// ---- queues ----

/** What both kinds of queue have in common: identifier, size, memory. Undefined: all is well. */
function refuseQueue({ cc }: ControllerParts, { cdw10, cdw11, prp1 }: NvmeCommand, allocated: number, taken: (id: number) => boolean): StatusCode | undefined {
  const [id, size] = [cdw10 & 0xffff, cdw10 >>> 16];
  if (id === 0 || id > allocated || taken(id)) return Status.INVALID_QUEUE_IDENTIFIER;
  // 0's based: a queue has two entries at least.
  if (size === 0 || size >= MAX_QUEUE_ENTRIES) return Status.INVALID_QUEUE_SIZE;
  // CAP.CQR: "the I/O queues are required to be physically contiguous".
  if ((cdw11 & PHYSICALLY_CONTIGUOUS) === 0) return Status.INVALID_FIELD;
  return prp1 % pageSizeOf(cc) === 0 ? undefined : Status.PRP_OFFSET_INVALID;
}

function createCompletionQueue(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const { queues, features, cc, usableVectors } = parts;
  const { cdw10, cdw11, prp1 } = command;
  const refused = refuseQueue(parts, command, features.completionQueues, (id) => queues.completion.has(id));
  if (refused !== undefined) return done(refused);
  if (((cc >>> Cc.IOCQES_SHIFT) & 0xf) !== IOCQES) return done(Status.INVALID_FIELD);
  const vector = cdw11 >>> 16;
  if (vector >= usableVectors) return done(Status.INVALID_INTERRUPT_VECTOR);
  queues.createCompletion(cdw10 & 0xffff, prp1, (cdw10 >>> 16) + 1, (cdw11 & INTERRUPTS_ENABLED) !== 0 ? vector : undefined);
  return SUCCESS;
}

function createSubmissionQueue(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const { queues, features, cc } = parts;
  const { cdw10, cdw11, prp1 } = command;
  const completionQueue = cdw11 >>> 16;
  if (completionQueue === 0 || completionQueue > features.completionQueues) return done(Status.INVALID_QUEUE_IDENTIFIER);
  if (!queues.completion.has(completionQueue)) return done(Status.COMPLETION_QUEUE_INVALID);
  const refused = refuseQueue(parts, command, features.submissionQueues, (id) => queues.submission.has(id));
  if (refused !== undefined) return done(refused);
  if (((cc >>> Cc.IOSQES_SHIFT) & 0xf) !== IOSQES) return done(Status.INVALID_FIELD);
  // The priority is for weighted round robin, which there is none of.
  queues.createSubmission(cdw10 & 0xffff, prp1, (cdw10 >>> 16) + 1, completionQueue);
  return SUCCESS;
}

function deleteSubmissionQueue({ queues }: ControllerParts, { cdw10 }: NvmeCommand): CommandOutcome {
  const id = cdw10 & 0xffff;
  // Commands complete as they are fetched: there is none to abort.
  return id !== 0 && queues.submission.delete(id) ? SUCCESS : done(Status.INVALID_QUEUE_IDENTIFIER);
}

function deleteCompletionQueue({ queues }: ControllerParts, { cdw10 }: NvmeCommand): CommandOutcome {
  const id = cdw10 & 0xffff;
  if (id === 0 || !queues.completion.has(id)) return done(Status.INVALID_QUEUE_IDENTIFIER);
  if (queues.feeding(id)) return done(Status.INVALID_QUEUE_DELETION);
  queues.completion.delete(id);
  return SUCCESS;
}

// ---- identify ----

/** Undefined: there is no such structure, or none for this namespace. */
function identifyData({ identity, backend }: ControllerParts, { cdw10, nsid }: NvmeCommand): Uint8Array | StatusCode {
  const eui64 = eui64Of(identity.serial);
  switch (cdw10 & 0xff) {
    case Cns.CONTROLLER:
      return identifyController(identity);
    case Cns.NAMESPACE:
      // All ones asks for what namespaces have in common, which only controllers with namespace management have to say.
      return nsid === NAMESPACE ? identifyNamespace(backend.size / SECTOR, backend.readOnly, eui64) : Status.INVALID_NAMESPACE;
    case Cns.ACTIVE_NAMESPACES:
      return nsid >= LAST_NAMESPACE_FOR_LIST ? Status.INVALID_NAMESPACE : activeNamespaces(nsid);
    case Cns.NAMESPACE_DESCRIPTORS:
      return nsid === NAMESPACE ? namespaceDescriptors(eui64) : Status.INVALID_NAMESPACE;
    default:
      return Status.INVALID_FIELD;
  }
}

function identify(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const data = identifyData(parts, command);
  return done(typeof data === 'number' ? data : parts.toHost(command, data.subarray(0, IDENTIFY_BYTES)));
}

// ---- logs ----

function logPage({ logs }: ControllerParts, page: number): Uint8Array | undefined {
  switch (page) {
    case LogPage.ERROR_INFORMATION:
      return logs.errorInformation();
    case LogPage.SMART:
      return logs.smart();
    case LogPage.FIRMWARE_SLOT:
      return firmwareSlots();
    case LogPage.COMMANDS_SUPPORTED: {
      const rows = (table: ReadonlyMap<number, CommandHandler>) => [...table].map(([opcode, { changesBlocks = false }]) => ({ opcode, changesBlocks }));
      return commandEffects(rows(ADMIN_COMMANDS), rows(IO_COMMANDS));
    }
    default:
      return undefined;
  }
}

function getLogPage(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const { cdw10, cdw11, cdw12, cdw13, nsid } = command;
  const page = cdw10 & 0xff;
  const data = logPage(parts, page);
  if (data === undefined) return done(Status.INVALID_LOG_PAGE);
  // The controller's SMART log only (LPA bit 0 is 0).
  if (nsid !== 0 && nsid !== ALL_NAMESPACES) return done(nsid === NAMESPACE ? Status.INVALID_FIELD : Status.INVALID_NAMESPACE);
  const length = ((cdw11 & 0xffff) * 0x1_0000 + (cdw10 >>> 16) + 1) * 4;
  const offset = cdw13 * TWO32 + cdw12;
  if (offset % 4 !== 0 || offset > data.length) return done(Status.INVALID_FIELD);
  // "If the amount of data requested is greater than the log, the bytes beyond it are undefined": they stay as they are.
  const status = parts.toHost(command, data.subarray(offset, Math.min(data.length, offset + length)));
  if (status === Status.SUCCESS && (cdw10 & RAE) === 0) parts.events.logRead(page);
  return done(status);
}

// ---- the rest ----

function abort({ events, complete }: ControllerParts, { cdw10 }: NvmeCommand): CommandOutcome {
  const [queue, cid] = [cdw10 & 0xffff, cdw10 >>> 16];
  // Only Async Event Requests are ever outstanding.
  if (queue !== 0 || !events.abort(cid)) return done(Status.SUCCESS, NOT_ABORTED);
  complete(cid, done(Status.ABORT_REQUESTED));
  return SUCCESS;
}

function asyncEventRequest({ events }: ControllerParts, { cid }: NvmeCommand): CommandResult {
  return events.request(cid) ? 'outstanding' : done(Status.ASYNC_EVENT_LIMIT);
}

export const ADMIN_COMMANDS: ReadonlyMap<number, CommandHandler> = new Map<number, CommandHandler>([
  [0x00, { name: 'Delete I/O Submission Queue', execute: deleteSubmissionQueue }],
  [0x01, { name: 'Create I/O Submission Queue', execute: createSubmissionQueue }],
  [0x02, { name: 'Get Log Page', execute: getLogPage }],
  [0x04, { name: 'Delete I/O Completion Queue', execute: deleteCompletionQueue }],
  [0x05, { name: 'Create I/O Completion Queue', execute: createCompletionQueue }],
  [0x06, { name: 'Identify', execute: identify }],
  [0x08, { name: 'Abort', execute: abort }],
  [
    0x09,
    {
      name: 'Set Features',
      execute: ({ features, queues }, { cdw10, cdw11, nsid }) => features.set(cdw10, cdw11, nsid, queues.submission.size > 1 || queues.completion.size > 1),
    },
  ],
  [0x0a, { name: 'Get Features', execute: ({ features }, { cdw10, cdw11 }) => features.get(cdw10, cdw11) }],
  [0x0c, { name: 'Asynchronous Event Request', execute: asyncEventRequest }],
]);
