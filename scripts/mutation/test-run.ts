/** Runs one test file with jest's own engine and matchers, but in this process and only up to the first test that fails. */
import { expect } from 'expect';
import * as circus from 'jest-circus';
import type { ModuleSpace } from './module-space';

export interface TestFailure {
  /** describe and test titles, or what happened outside a test. */
  readonly test: string;
  readonly message: string;
}

export interface TestResult {
  readonly failure: TestFailure | undefined;
  readonly tests: number;
}

const { describe, it, test, beforeAll, beforeEach, afterAll, afterEach } = circus;
Object.assign(globalThis, { describe, it, test, beforeAll, beforeEach, afterAll, afterEach, expect });

let failure: TestFailure | undefined;
let tests = 0;

const first = (e: unknown): unknown => (Array.isArray(e) ? (e[0] as unknown) : e);
const messageOf = (e: unknown): string => (e instanceof Error ? e.message : String(e));

circus.addEventHandler((event) => {
  if (event.name === 'test_start') {
    if (failure === undefined) tests++;
    else event.test.mode = 'skip';
  } else if (event.name === 'test_done' && event.test.errors.length > 0) {
    failure ??= { test: titles(event.test), message: messageOf(first(event.test.errors[0])) };
  }
});

function titles(test: circus.State['currentlyRunningTest'] & object): string {
  const names = [test.name];
  for (let block: circus.State['currentDescribeBlock'] | undefined = test.parent; block?.parent !== undefined; block = block.parent) names.unshift(block.name);
  return names.join(' > ');
}

export async function runTestFile(space: ModuleSpace, path: string): Promise<TestResult> {
  circus.resetState();
  circus.getState().testTimeout = 60_000;
  failure = undefined;
  tests = 0;
  try {
    space.runTestFile(path);
  } catch (e) {
    return { failure: { test: '(loading)', message: messageOf(e) }, tests };
  }
  const { unhandledErrors } = await circus.run();
  if (failure === undefined && unhandledErrors.length > 0) failure = { test: '(outside tests)', message: unhandledErrors[0] };
  return { failure, tests };
}
