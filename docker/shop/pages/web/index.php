<?php
// What is for sale, for customers.

declare(strict_types=1);
require '/srv/lib/api.php';
require '/srv/lib/layout.php';

allow_methods('GET', 'HEAD');
$items = items();
ob_start();
page_start('The corner shop', '/style.css');
item_table($items);
page_end();
