/**
 * The public library: build a computer, run it, look at it, listen to it, take it backward.
 *
 * {@link Computer} is where to begin. {@link Guest} is what it drives, for those who need the last bit of speed or a part of their own.
 * @module
 */
export { Computer, type RunLimits, type Snapshot } from './library/computer';
export { ComputerSchema, ConfigurationError, type ComputerConfiguration } from './library/configuration';
export type {
  ComputerEvents,
  ConsoleEvent,
  DeviceAccessEvent,
  EntryEvent,
  EventName,
  ExitEvent,
  InjectEvent,
  InterruptEvent,
  Listener,
  Moment,
  MsrEvent,
  PageWalkEvent,
  TlbFillEvent,
} from './library/events';
export type { Translation } from './library/translation';
export type { GuestWrite } from './library/write-hooks';
export { referencesOf, type Walk, type WalkEntry, type WalkKind } from './debugger/paging';
export type { ControlField } from './debugger/control-structure';
export type { FailedEntry } from './debugger/failed-entry';
export { Session } from './debugger/session';
export {
  complete,
  DebugError,
  type Breakpoint,
  type BreakpointOptions,
  type BreakpointSpec,
  type ExitView,
  type MemorySpace,
  type Motion,
  type Position,
  type RegisterGroup,
  type RegisterInfo,
  type Stop,
  type StopKind,
  type WatchAccess,
} from './debugger/target';
export { readSnapshot, writeSnapshot, SnapshotFileError, type SnapshotFileProblem } from './debugger/snapshot/file';
export { parseHitCondition, type HitCondition } from './debugger/hit-counts';
export type { TimelineOptions } from './debugger/timeline';
export { Guest, seededEntropy, type GuestConfig, type GuestStop } from './hypervisor/guest';
export type { DriveConfig } from './hypervisor/pci-functions';
export type { BlockBackend } from './devices/block-backend';
export { halt, invalidOpcode, generalProtection, nextInstruction, retry, tripleFault } from './hypervisor/exit';
export type { Exit, ExitKind, ExitOf, Outcome, RawExit, StopReason } from './hypervisor/exit';
export { ROUTES, withRoutes, type ExitHandler, type Routes } from './hypervisor/routes';
export type { ExitRecord, ProcessorPolicy, Vcpu, VcpuObserver } from './hypervisor/vcpu';
export type { ExitRow } from './hypervisor/statistics';
export type { GuestState, GuestSurroundings } from './hypervisor/guest-state';
export { Machine, type MachineOptions } from './machine/machine';
export { BootError } from './guests/boot/boot-error';
export { planBoot } from './guests/boot/plan';
export type { BootFormat, BootModule, BootOptions, BootPlan } from './guests/boot/boot-request';
export { CPU_PRESETS, parseProfile, createProfile, type ProfileOptions } from './cpu/profiles/profile';
export type { CpuProfile, EntropySource } from './cpu/interfaces';
export type { ExitInformation } from './trace/exit-row';
export { Vmx } from './vmx/vmx';
export { explain, violations } from './vmx/entry/explain';
