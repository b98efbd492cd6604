<?php
// What every page shares: the frame with the server's name, and the table of items.

declare(strict_types=1);

function e(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5, 'UTF-8');
}

/** Refuses every other method: a page that shows itself to a DELETE seems to have done it. */
function allow_methods(string ...$methods): void
{
    if (!in_array($_SERVER['REQUEST_METHOD'], $methods, true)) {
        http_response_code(405);
        header('Allow: ' . implode(', ', $methods));
        header('Content-Type: text/plain');
        exit("Method not allowed\n");
    }
}

function page_start(string $title, string $style): void
{
    header('Content-Type: text/html; charset=UTF-8');
    header('Cache-Control: no-store');
    ?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title><?= e($title) ?></title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="<?= e($style) ?>">
</head>
<body>
<header>
  <span id="server" title="The server that made this page"><?= e(gethostname()) ?></span>
  <h1><?= e($title) ?></h1>
</header>
<main>
<?php
}

function page_end(): void
{
    echo "</main>\n</body>\n</html>\n";
}

/** @param ?list<array{name: string, quantity: int, price: string}> $items */
function item_table(?array $items): void
{
    if ($items === null) {
        http_response_code(503);
        header('Retry-After: 5');
        echo '<p class="note error" role="alert">The list of items is not available right now. Please try again in a moment.</p>';
        return;
    }
    if ($items === []) {
        echo '<p class="note">There is nothing for sale at the moment.</p>';
        return;
    }
    $currency = getenv('CURRENCY') ?: '€';
    ?>
<table id="items">
  <thead><tr><th scope="col">Item</th><th scope="col" class="number">Quantity</th><th scope="col" class="number">Price</th></tr></thead>
  <tbody>
<?php foreach ($items as $item): ?>
    <tr>
      <td><?= e($item['name']) ?></td>
      <td class="number"><?= $item['quantity'] === 0 ? '<span class="none">sold out</span>' : number_format($item['quantity'], 0, '.', ' ') ?></td>
      <td class="number"><?= e($currency . ' ' . number_format((float) $item['price'], 2, '.', ' ')) ?></td>
    </tr>
<?php endforeach ?>
  </tbody>
</table>
<?php
}
