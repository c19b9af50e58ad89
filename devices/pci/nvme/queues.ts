/** Submission and completion queues: NVM Express Base Specification 1.4, "Submission Queue & Completion Queue Definition". Queue 0 is the admin queue. */
import type { Stateful } from '../../../memory/stateful';

export interface SubmissionQueue {
  readonly base: number;
  /** Slots, one of which stays empty. */
  readonly entries: number;
  readonly completionQueue: number;
  head: number;
  tail: number;
}

export interface CompletionQueue {
  readonly base: number;
  readonly entries: number;
  /** Interrupt vector; undefined: interrupts of the queue are not enabled. */
  readonly vector: number | undefined;
  head: number;
  tail: number;
  /** Phase tag of the next entry. */
  phase: 0 | 1;
}

export interface QueuesState {
  submission: (readonly [id: number, queue: SubmissionQueue])[];
  completion: (readonly [id: number, queue: CompletionQueue])[];
}

export class Queues implements Stateful<QueuesState> {
  readonly submission = new Map<number, SubmissionQueue>();
  readonly completion = new Map<number, CompletionQueue>();

  createSubmission(id: number, base: number, entries: number, completionQueue: number): void {
    this.submission.set(id, { base, entries, completionQueue, head: 0, tail: 0 });
  }

  createCompletion(id: number, base: number, entries: number, vector: number | undefined): void {
    this.completion.set(id, { base, entries, vector, head: 0, tail: 0, phase: 1 });
  }

  clear(): void {
    this.submission.clear();
    this.completion.clear();
  }

  /** Submission queues whose completions go to `completionQueue`. */
  feeding(completionQueue: number): boolean {
    return [...this.submission.values()].some((queue) => queue.completionQueue === completionQueue);
  }

  /** "The queue is full when the Head equals one more than the Tail". */
  full({ head, tail, entries }: CompletionQueue): boolean {
    return (tail + 1) % entries === head;
  }

  saveState(): QueuesState {
    const copy = <Q extends object>(map: ReadonlyMap<number, Q>): (readonly [number, Q])[] => [...map].map(([id, queue]) => [id, { ...queue }] as const);
    return { submission: copy(this.submission), completion: copy(this.completion) };
  }

  restoreState({ submission, completion }: QueuesState): void {
    this.clear();
    for (const [id, queue] of submission) this.submission.set(id, { ...queue });
    for (const [id, queue] of completion) this.completion.set(id, { ...queue });
  }
}
