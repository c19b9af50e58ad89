/** Features: NVM Express Base Specification 1.4, "Set Features command", "Get Features command". None is saveable, all belong to the controller. */
import type { Stateful } from '../../../memory/stateful';
import { WARNING_TEMPERATURE } from './identify';
import { MAX_IO_QUEUES } from './registers';
import { Status, type StatusCode } from './status';

export const Feature = {
  ARBITRATION: 0x01,
  POWER_MANAGEMENT: 0x02,
  TEMPERATURE_THRESHOLD: 0x04,
  ERROR_RECOVERY: 0x05,
  VOLATILE_WRITE_CACHE: 0x06,
  NUMBER_OF_QUEUES: 0x07,
  INTERRUPT_COALESCING: 0x08,
  INTERRUPT_VECTOR_CONFIGURATION: 0x09,
  WRITE_ATOMICITY: 0x0a,
  ASYNC_EVENT_CONFIGURATION: 0x0b,
} as const;

const ALL_QUEUES = ((MAX_IO_QUEUES - 1) << 16) | (MAX_IO_QUEUES - 1);

/** Bits that exist, and their value after reset. */
const FEATURES: ReadonlyMap<number, { readonly mask: number; readonly initial: number }> = new Map([
  // Arbitration Burst 111b: no limit.
  [Feature.ARBITRATION, { mask: 0xffff_ff07, initial: 0x07 }],
  [Feature.POWER_MANAGEMENT, { mask: 0x0000_00ff, initial: 0 }],
  [Feature.TEMPERATURE_THRESHOLD, { mask: 0x0000_ffff, initial: WARNING_TEMPERATURE }],
  [Feature.ERROR_RECOVERY, { mask: 0x0000_ffff, initial: 0 }],
  [Feature.VOLATILE_WRITE_CACHE, { mask: 0x0000_0001, initial: 1 }],
  [Feature.NUMBER_OF_QUEUES, { mask: 0xffff_ffff, initial: ALL_QUEUES }],
  [Feature.INTERRUPT_COALESCING, { mask: 0x0000_ffff, initial: 0 }],
  [Feature.INTERRUPT_VECTOR_CONFIGURATION, { mask: 0x0001_ffff, initial: 0 }],
  [Feature.WRITE_ATOMICITY, { mask: 0x0000_0001, initial: 0 }],
  // Critical warnings of SMART; there are no notices (OAES = 0).
  [Feature.ASYNC_EVENT_CONFIGURATION, { mask: 0x0000_00ff, initial: 0 }],
]);

const Select = { CURRENT: 0, DEFAULT: 1, SAVED: 2, CAPABILITIES: 3 } as const;
const CHANGEABLE = 0x4;
const SAVE = 0x8000_0000;
const ALL_NAMESPACES = 0xffff_ffff;

export interface FeatureOutcome {
  readonly status: StatusCode;
  /** Dword 0 of the completion. */
  readonly result: number;
}

const refuse = (status: StatusCode): FeatureOutcome => ({ status, result: 0 });
const answer = (result: number): FeatureOutcome => ({ status: Status.SUCCESS, result: result >>> 0 });

export interface FeaturesState {
  values: (readonly [feature: number, value: number])[];
  vectors: (readonly [vector: number, configuration: number])[];
}

export class Features implements Stateful<FeaturesState> {
  private readonly values = new Map<number, number>();
  /** Coalescing Disable by interrupt vector. */
  private readonly vectors = new Map<number, number>();

  /** @param vectorCount interrupt vectors of the controller. */
  constructor(private readonly vectorCount: number) {
    this.reset();
  }

  reset(): void {
    this.vectors.clear();
    for (const [id, { initial }] of FEATURES) this.values.set(id, initial);
  }

  get writeCacheEnabled(): boolean {
    return this.values.get(Feature.VOLATILE_WRITE_CACHE) === 1;
  }

  /** How many I/O queues of either kind were allocated. */
  get submissionQueues(): number {
    return (this.values.get(Feature.NUMBER_OF_QUEUES)! & 0xffff) + 1;
  }
  get completionQueues(): number {
    return (this.values.get(Feature.NUMBER_OF_QUEUES)! >>> 16) + 1;
  }

  get(cdw10: number, cdw11: number): FeatureOutcome {
    const id = cdw10 & 0xff;
    const select = (cdw10 >>> 8) & 7;
    const feature = FEATURES.get(id);
    if (feature === undefined || select > Select.CAPABILITIES) return refuse(Status.INVALID_FIELD);
    if (select === Select.CAPABILITIES) return answer(CHANGEABLE);
    if (id === Feature.INTERRUPT_VECTOR_CONFIGURATION) return this.vectorConfiguration(cdw11 & 0xffff, select);
    if (id === Feature.TEMPERATURE_THRESHOLD && !compositeOverTemperature(cdw11)) return underTemperature(cdw11) ? answer(0) : refuse(Status.INVALID_FIELD);
    // "If a feature has no saved value, the default value is returned".
    return answer(select === Select.CURRENT ? this.values.get(id)! : feature.initial);
  }

  private vectorConfiguration(vector: number, select: number): FeatureOutcome {
    if (vector >= this.vectorCount) return refuse(Status.INVALID_FIELD);
    return answer((select === Select.CURRENT ? this.vectors.get(vector) : undefined) ?? vector);
  }

  /** @param queuesExist I/O queues have been created: their number stays. */
  set(cdw10: number, cdw11: number, nsid: number, queuesExist: boolean): FeatureOutcome {
    const id = cdw10 & 0xff;
    const feature = FEATURES.get(id);
    if (feature === undefined) return refuse(Status.INVALID_FIELD);
    if ((cdw10 & SAVE) !== 0) return refuse(Status.FEATURE_NOT_SAVEABLE);
    if (nsid !== 0 && nsid !== ALL_NAMESPACES) return refuse(Status.FEATURE_NOT_NAMESPACE_SPECIFIC);
    switch (id) {
      case Feature.NUMBER_OF_QUEUES:
        return this.allocateQueues(cdw11, queuesExist);
      case Feature.POWER_MANAGEMENT:
        // There is one power state.
        if ((cdw11 & 0x1f) !== 0) return refuse(Status.INVALID_FIELD);
        break;
      case Feature.TEMPERATURE_THRESHOLD:
        if (underTemperature(cdw11)) return answer(0);
        if (!compositeOverTemperature(cdw11)) return refuse(Status.INVALID_FIELD);
        break;
      case Feature.INTERRUPT_VECTOR_CONFIGURATION:
        if ((cdw11 & 0xffff) >= this.vectorCount) return refuse(Status.INVALID_FIELD);
        this.vectors.set(cdw11 & 0xffff, cdw11 & feature.mask);
        return answer(0);
    }
    this.values.set(id, (cdw11 & feature.mask) >>> 0);
    return answer(0);
  }

  private allocateQueues(cdw11: number, queuesExist: boolean): FeatureOutcome {
    const [submission, completion] = [cdw11 & 0xffff, cdw11 >>> 16];
    // "The maximum value that may be specified is 65,534".
    if (submission === 0xffff || completion === 0xffff) return refuse(Status.INVALID_FIELD);
    if (queuesExist) return refuse(Status.COMMAND_SEQUENCE_ERROR);
    const allocated = (Math.min(completion, MAX_IO_QUEUES - 1) << 16) | Math.min(submission, MAX_IO_QUEUES - 1);
    this.values.set(Feature.NUMBER_OF_QUEUES, allocated);
    return answer(allocated);
  }

  saveState(): FeaturesState {
    return { values: [...this.values], vectors: [...this.vectors] };
  }

  restoreState({ values, vectors }: FeaturesState): void {
    this.vectors.clear();
    for (const [id, value] of values) this.values.set(id, value);
    for (const [vector, value] of vectors) this.vectors.set(vector, value);
  }
}

/** TMPSEL 0 is the composite temperature, THSEL 0 its over, 1 its under temperature threshold. */
const compositeOverTemperature = (cdw11: number): boolean => ((cdw11 >>> 16) & 0x3f) === 0;
const underTemperature = (cdw11: number): boolean => ((cdw11 >>> 16) & 0x3f) === 0x10;
