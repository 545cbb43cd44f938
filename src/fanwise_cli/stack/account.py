"""What the account of a stack may do at once, asked of Lambda."""

from fanwise_cli.stack.connection import DeployedStack


def account_concurrency(stack: DeployedStack) -> int | None:
    """Invocations at once that the account has for functions without a share of their own, as ours are.

    None where it may not be asked (lambda:GetAccountSettings), or nobody there knows: `fanwise up` has no account.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where AWS is talked to

    try:
        limit = stack.functions.get_account_settings()["AccountLimit"]
        return int(limit["UnreservedConcurrentExecutions"])
    except (ClientError, BotoCoreError, KeyError, ValueError):
        return None
